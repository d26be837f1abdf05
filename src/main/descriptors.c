#include "main/descriptors.h"

#include "model/limits.h"

enum {
	PER_SESSION = 2,
	RESERVED = 512, /* for all that is no session: pipes, logs, probes, metrics */
};

uint32_t descriptors_to_sessions(uint64_t descriptors)
{
	const uint64_t usable =
		descriptors > 2 * RESERVED ? descriptors - RESERVED : descriptors / 2;
	const uint64_t sessions = usable / PER_SESSION;

	return sessions < SESSIONS_MAX ? (uint32_t)sessions : SESSIONS_MAX;
}

uint64_t descriptors_of_sessions(uint32_t sessions)
{
	return PER_SESSION * (uint64_t)sessions + RESERVED;
}
