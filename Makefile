# What everyone types first. The work is done by meson (meson.build) and by scripts/.
#
#   make                 builds build/src/main/loble and links it as ./loble
#   make check           unit tests, lints, a simulation: no root, no network
#   make check-system    real processes and real traffic; some tests need root
#   make lint, format    layers, style, clang-format, clang-tidy; format applies it
#   make asan, tsan      unit and short system tests under sanitizers
#   make fuzz T=toml     60 s of one fuzz target, from the corpus in the tree
#   make sim SEED=7      replays one simulated run; without a seed, new ones for a minute
#   make cover           line coverage by file; fails under 90 %
#   make soak            the long proof that nothing is dropped: half an hour
#   make bench           beside other proxies, 80 minutes; QUICK=1: 3; see bench/README.md
#   make bench-survival  what it costs that nothing is dropped, 10 minutes
#   make ci              all that a merge runs
#   make install         to PREFIX (/usr/local), below DESTDIR

PREFIX ?= /usr/local
T ?=
S ?= 60
SEED ?=
ROUNDS ?=
WORKLOADS ?=
PEERS ?=
QUICK ?=
FLAGS ?=
comma = ,
PYTEST = /usr/bin/python3 -B -m pytest tests/system -p no:cacheprovider
REPORTS = ASAN_OPTIONS=detect_stack_use_after_return=1 \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	LSAN_OPTIONS=suppressions=$(CURDIR)/tests/sanitizers/lsan.supp:print_suppressions=0 \
	TSAN_OPTIONS=suppressions=$(CURDIR)/tests/sanitizers/tsan.supp:print_suppressions=0

.PHONY: build check check-system lint format asan tsan fuzz sim soak cover bench bench-survival ci install clean

build: build/build.ninja
	ninja -C build
	@ln -sfn build/src/main/loble loble

build/build.ninja:
	meson setup build --prefix=$(PREFIX)

check: build
	meson test -C build --no-rebuild --print-errorlogs

check-system: build
	@test -f build-alternate/build.ninja || \
		meson setup build-alternate -Drecord_layout=alternate
	ninja -C build-alternate src/main/loble
	LOBLE=$(CURDIR)/build/src/main/loble $(PYTEST)

build-clang/build.ninja:
	CC=clang CXX=clang++ meson setup build-clang

lint: build build-clang/build.ninja
	meson test -C build --no-rebuild --print-errorlogs --suite lint
	ninja -C build-clang
	run-clang-tidy -quiet -p build-clang

format:
	clang-format -i $$(find src tests -name '*.[ch]' -o -name '*.cc')

asan: OPTIONS = -Db_sanitize=address,undefined -Db_lundef=false -Dbatch_always=true
tsan: OPTIONS = -Db_sanitize=thread -Db_lundef=false
asan tsan:
	@test -f build-$@/build.ninja || meson setup build-$@ $(OPTIONS)
	ninja -C build-$@
	ulimit -S -s 65536; $(REPORTS) meson test -C build-$@ --no-rebuild --print-errorlogs --suite unit -t 3
	$(REPORTS) LOBLE=$(CURDIR)/build-$@/src/main/loble $(PYTEST) -m $@

fuzz:
	scripts/fuzz.sh "$(T)" $(S)

sim: build
	@if [ -n "$(SEED)" ]; then SEED=$(SEED) build/tests/sim/health_sim; else \
		end=$$(($$(date +%s) + 60)); \
		while [ $$(date +%s) -lt $$end ]; do build/tests/sim/health_sim || exit 1; done; fi

soak:
	scripts/soak.sh

cover:
	scripts/cover.sh

bench-survival: OUTPUT = build-bench/results-survival
bench-survival:
	@test -f build-bare/build.ninja || \
		meson setup build-bare --buildtype=release -Dtests=disabled -Dbare=true
	ninja -C build-bare src/main/loble
	$(MAKE) bench PEERS=loble,loble-alone,loble-bare WORKLOADS=$(or $(WORKLOADS),churn$(comma)bulk) \
		ROUNDS=$(or $(ROUNDS),60) FLAGS="--duration-ms 300 --bulk-mib 256 --output $(OUTPUT)"

bench:
	-bash -c '. scripts/lib.sh; install_packages "$${core_packages[@]}" "$${bench_packages[@]}"'
	@test -f build-bench/build.ninja || \
		meson setup build-bench --buildtype=release -Dtests=disabled
	ninja -C build-bench
	/usr/bin/python3 bench/run.py --build build-bench $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(WORKLOADS),--workloads $(WORKLOADS)) $(if $(PEERS),--peers $(PEERS)) \
		$(if $(QUICK),--quick) $(FLAGS)

ci:
	scripts/test.sh

install: build
	meson configure build -Dprefix=$(PREFIX)
	meson install -C build

clean:
	rm -rf build build-* loble
