/*
 * Whether there is what a filter names: a list of nothing would pass a misspelt name for an idle
 * one. What a reload has removed is there for as long as it has sessions.
 */
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/suggest.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "observe/api_internal.h"

/* LISTED_MAX is a guard against pools of thousands: the message is for people. */
enum { LABEL_MAX = 2 * IDENTITY_NAME_MAX, LISTED_MAX = 20, TEXT_MAX = 4096 };

/* A search for one name among all of its kind. */
struct search {
	const struct shm *shm;
	const struct snapshot *snapshot;
	const char *kind; /* for the message */
	const char *wanted;
	const char *pool; /* of backends: only those of this one; NULL: any */
	bool found;
	bool explains; /* nothing was found in a first look: collects what the message names */
	struct suggest suggest;
	char nearest[LABEL_MAX];
	uint32_t count; /* of the names that there are */
	char all[TEXT_MAX];
	size_t length;                        /* of `all` */
	uint8_t members[(SLOTS_MAX + 7) / 8]; /* a bit by slot: the snapshot has it in a pool */
};

static void begin(struct search *search, const struct api *api, const char *kind,
	const char *wanted, const char *pool)
{
	search->shm = api->shm;
	search->snapshot = snapshot_current(api->store);
	search->kind = kind;
	search->wanted = wanted;
	search->pool = pool;
	search->found = false;
	search->explains = false;
	search->suggest = (struct suggest){.word = wanted, .length = strlen(wanted)};
	search->count = 0;
	search->all[0] = '\0';
	search->length = 0;
}

/*
 * Looks at one name; `label` is how the message lists it. What is near to the wanted one takes far
 * longer to find out than whether it is the same: no price for those that ask for what there is.
 */
static void consider(struct search *search, const char *name, const char *label)
{
	search->found |= strcmp(search->wanted, name) == 0 || strcmp(search->wanted, label) == 0;
	if (!search->explains) {
		return;
	}
	suggest_consider(&search->suggest, name);
	suggest_consider(&search->suggest, label);
	if (search->suggest.nearest == name || search->suggest.nearest == label) {
		(void)snprintf(search->nearest, sizeof search->nearest, "%s", label);
		search->suggest.nearest = search->nearest;
	}
	if (search->count < LISTED_MAX && search->length < sizeof search->all) {
		search->length += (size_t)snprintf(search->all + search->length,
			sizeof search->all - search->length, "%s \"%s\"",
			search->count > 0 ? "," : "", label);
	}
	search->count++;
}

/* A copy of the name, if the entry has one: control may give it to another meanwhile. */
static bool name_of(const struct identity *identity, char name[static IDENTITY_NAME_MAX])
{
	const uint32_t used = atomic_load_explicit(&identity->used, memory_order_acquire);

	memcpy(name, identity->name, IDENTITY_NAME_MAX - 1);
	name[IDENTITY_NAME_MAX - 1] = '\0';
	atomic_thread_fence(memory_order_acquire);
	return used != 0 && name[0] != '\0' &&
		atomic_load_explicit(&identity->used, memory_order_relaxed) == used;
}

static bool is_used(const struct identity *identity)
{
	return atomic_load_explicit(&identity->used, memory_order_acquire) != 0;
}

static bool has_sessions(const struct shm *shm, uint32_t pool)
{
	for (uint32_t i = 0; i < SLOTS_MAX && is_used(&shm->slots[i].identity); i++) {
		if (shm->slots[i].identity.parent == pool && shm_slot_sessions(shm, i) > 0) {
			return true;
		}
	}
	return false;
}

static void look_at_listeners(struct search *search)
{
	char name[IDENTITY_NAME_MAX];

	for (uint32_t i = 0; i < LISTENERS_MAX && is_used(&search->shm->listeners[i].identity);
		i++) {
		if ((snapshot_listener(search->snapshot, i) != NULL ||
			    shm_listener_sessions(search->shm, i) > 0) &&
			name_of(&search->shm->listeners[i].identity, name)) {
			consider(search, name, name);
		}
	}
}

static void look_at_pools(struct search *search)
{
	char name[IDENTITY_NAME_MAX];

	for (uint32_t i = 0; i < POOLS_MAX && is_used(&search->shm->pools[i].identity); i++) {
		if ((snapshot_pool(search->snapshot, i) != NULL || has_sessions(search->shm, i)) &&
			name_of(&search->shm->pools[i].identity, name)) {
			consider(search, name, name);
		}
	}
}

/* Once for all: to look through the pool for each backend would take its square in steps. */
static void mark_members(struct search *search)
{
	memset(search->members, 0, sizeof search->members);
	for (uint32_t i = 0; i < search->snapshot->pool_limit; i++) {
		const struct snapshot_pool *pool = snapshot_pool(search->snapshot, i);

		for (uint32_t k = 0; pool != NULL && k < pool->member_count; k++) {
			const uint32_t slot = pool->members[k].slot;

			search->members[slot / 8] |= (uint8_t)(1U << slot % 8);
		}
	}
}

static bool is_member(const struct search *search, uint32_t slot)
{
	return (search->members[slot / 8] >> slot % 8 & 1) != 0;
}

static void look_at_backends(struct search *search)
{
	const struct shm *shm = search->shm;
	char pool[IDENTITY_NAME_MAX];
	char name[IDENTITY_NAME_MAX];
	char label[LABEL_MAX];

	mark_members(search);
	for (uint32_t i = 0; i < SLOTS_MAX && is_used(&shm->slots[i].identity); i++) {
		const uint32_t parent = shm->slots[i].identity.parent;

		if (parent >= POOLS_MAX || !name_of(&shm->pools[parent].identity, pool) ||
			(search->pool != NULL && strcmp(search->pool, pool) != 0) ||
			!name_of(&shm->slots[i].identity, name) ||
			(!is_member(search, i) && shm_slot_sessions(shm, i) == 0)) {
			continue;
		}
		(void)snprintf(label, sizeof label, "%s/%s", pool, name);
		consider(search, name, label);
	}
}

static struct answer refuse(const struct search *search)
{
	char text[TEXT_MAX + 2 * LABEL_MAX];
	const int length = snprintf(text, sizeof text, "there is no %s \"%.*s\"%s%.*s%s",
		search->kind, IDENTITY_NAME_MAX, search->wanted,
		search->pool != NULL ? " in pool \"" : "", IDENTITY_NAME_MAX,
		search->pool != NULL ? search->pool : "", search->pool != NULL ? "\"" : "");
	const size_t room = sizeof text - (size_t)length;

	if (search->suggest.nearest != NULL) {
		(void)snprintf(text + length, room, "; did you mean \"%s\"?", search->nearest);
	} else if (search->count > LISTED_MAX) {
		(void)snprintf(text + length, room, "; there are%s and %u more", search->all,
			search->count - LISTED_MAX);
	} else if (search->count > 0) {
		(void)snprintf(text + length, room, "; there %s%s",
			search->count == 1 ? "is" : "are", search->all);
	}
	return answer_refusal(HTTP_NOT_FOUND, "unknown", text);
}

bool api_knows_names(const struct http_call *call, struct answer *ret_refusal)
{
	static const struct {
		const char *parameter;
		void (*look)(struct search *search);
	} kinds[] = {
		{"listener", look_at_listeners},
		{"pool", look_at_pools},
		{"backend", look_at_backends},
	};
	const struct api *api = call->context;
	struct search search;

	if (snapshot_current(api->store) == NULL) {
		return true; /* it starts: nobody has a name yet */
	}
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		const char *wanted = route_parameter(call, kinds[i].parameter);

		if (wanted == NULL) {
			continue;
		}
		begin(&search, api, kinds[i].parameter, wanted,
			kinds[i].look == look_at_backends ? route_parameter(call, "pool") : NULL);
		kinds[i].look(&search);
		if (!search.found) {
			search.explains = true;
			kinds[i].look(&search);
		}
		if (!search.found) { /* control may have added it meanwhile */
			*ret_refusal = refuse(&search);
			return false;
		}
	}
	return true;
}
