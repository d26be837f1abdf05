/*
 * What the files of the registry share. Private to control/registry*.c.
 *
 * Threads: control alone.
 */
#pragma once

#include "control/registry.h"

/* Fills in the backend's health, operator's word, weight and address from its slot, if in use. */
void registry_recall(struct registry *registry, uint32_t backend, uint64_t now_ns);

/* Keeps what the health machine knows in the slot. After each change of either. */
void registry_keep(const struct registry *registry, uint32_t backend);

/* Where it is: also in the slot. */
void registry_place(
	struct registry *registry, uint32_t backend, const struct sockaddr_any *address);

/* Stores to shared memory whether workers shall report successes. */
void registry_note_wish(struct registry *registry, uint32_t backend);

/* An operator or a reload has taken it out: its sessions have until the end of backend_drain. */
void registry_begin_drain(struct slot *slot, uint64_t now_ns);

/* No configuration names it any more. */
void registry_forget(struct slot *slot, uint64_t now_ns);

/* A change of health that no observation has made. */
void registry_record_anew(struct registry *registry, uint32_t backend, enum health_state from);
