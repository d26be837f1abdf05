#include "os/privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "os/host.h"

enum { LOOKUP_BUFFER_BYTES = 16384 };

/* No limit can be above this one of the kernel, whoever asks. */
static uint64_t highest_limit(void)
{
	const int64_t highest = host_number("", "/proc/sys/fs/nr_open");

	return highest == HOST_ABSENT ? UINT64_MAX : (uint64_t)highest;
}

uint64_t privilege_raise_descriptors(uint64_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		return 1024;
	}
	if (limit.rlim_max < wanted) {
		const uint64_t highest = highest_limit();
		const uint64_t asked = wanted < highest ? wanted : highest;
		const struct rlimit higher = {.rlim_cur = asked, .rlim_max = asked};

		if (asked > limit.rlim_max && setrlimit(RLIMIT_NOFILE, &higher) == 0) {
			return asked;
		}
	}
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

static bool parse_id(const char *text, unsigned *ret_id)
{
	char *end;
	unsigned long id;

	errno = 0;
	id = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || id >= UINT32_MAX) {
		return false;
	}
	*ret_id = (unsigned)id;
	return true;
}

static int find_user(const char *user, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
	char buffer[LOOKUP_BUFFER_BYTES];
	struct passwd entry;
	struct passwd *found = NULL;

	if (getpwnam_r(user, &entry, buffer, sizeof buffer, &found) == 0 && found != NULL) {
		*ret_uid = found->pw_uid;
		*ret_gid = found->pw_gid;
		return 0;
	}
	if (parse_id(user, ret_uid)) {
		*ret_gid = *ret_uid;
		return 0;
	}
	return error_say(err, ENOENT, "server.user: there is no user \"%s\"", user);
}

static int find_group(const char *group, gid_t *ret_gid, struct error *err)
{
	char buffer[LOOKUP_BUFFER_BYTES];
	struct group entry;
	struct group *found = NULL;

	if (getgrnam_r(group, &entry, buffer, sizeof buffer, &found) == 0 && found != NULL) {
		*ret_gid = found->gr_gid;
		return 0;
	}
	if (parse_id(group, ret_gid)) {
		return 0;
	}
	return error_say(err, ENOENT, "server.group: there is no group \"%s\"", group);
}

int privilege_find(
	const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	int r = 0;

	if (user != NULL) {
		r = find_user(user, &uid, &gid, err);
	}
	if (r == 0 && group != NULL) {
		r = find_group(group, &gid, err);
	}
	if (r == 0) {
		*ret_uid = uid;
		*ret_gid = gid;
	}
	return r;
}

int privilege_drop(const char *user, const char *group, struct error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int r;

	if (user == NULL && group == NULL) {
		return 0;
	}
	r = privilege_find(user, group, &uid, &gid, err);
	if (r < 0) {
		return r;
	}
	if (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0) {
		return error_set(err, errno, "cannot become group %u", gid);
	}
	if (user != NULL && setresuid(uid, uid, uid) < 0) {
		return error_set(err, errno, "cannot become user %u", uid);
	}
	if (getuid() != uid || geteuid() != uid || getegid() != gid) {
		return error_say(err, EPERM, "the rights were not given up");
	}
	(void)prctl(PR_SET_DUMPABLE, 1); /* the change of user cleared it: no cores, no debugger */
	return 0;
}
