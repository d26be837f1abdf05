#include "config/print.h"

/* Every line that is commented out shows the default, or an example where there is none. */
static const char sample[] =
	"# Loble: a TCP load balancer. `loble check FILE` finds every mistake in this file;\n"
	"# `loble config reference` explains every option.\n"
	"\n"
	"[listener]\n"
	"address = \"127.0.0.1:9000\"       # \":9000\" is all of IPv4 and IPv6\n"
	"\n"
	"[balancer]\n"
	"algorithm = \"round_robin\"        # or \"random\"\n"
	"# retries = 2                     # further backends after a failed connect\n"
	"# when_all_unhealthy = \"use_all\"  # or \"refuse\"\n"
	"# proxy_protocol = \"off\"          # \"v1\" or \"v2\": tell backends who the client is\n"
	"\n"
	"[health]\n"
	"failure_threshold = 3            # consecutive failures that take a backend out\n"
	"success_threshold = 2            # consecutive probes that bring it back\n"
	"# probe_interval = \"1s\"\n"
	"\n"
	"[timeouts]\n"
	"# connect = \"3s\"                  # of one attempt\n"
	"# connect_total = \"10s\"           # of all attempts for a client\n"
	"# idle = \"1h\"                     # of a session; \"off\" is possible\n"
	"# half_close = \"5m\"               # once one side has ended\n"
	"# drain = \"30s\"                   # hard limit of a graceful stop\n"
	"\n"
	"[metrics]\n"
	"enabled = true                   # /metrics, /healthz, /readyz\n"
	"address = \"127.0.0.1:9090\"\n"
	"\n"
	"[logging]\n"
	"level = \"info\"                   # debug, info, warn, error\n"
	"\n"
	"[[backends]]\n"
	"address = \"127.0.0.1:8081\"\n"
	"weight = 1                       # 0 takes no new sessions\n"
	"\n"
	"[[backends]]\n"
	"address = \"127.0.0.1:8082\"\n";

void config_sample(FILE *file)
{
	(void)fputs(sample, file);
}
