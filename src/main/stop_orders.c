#include "main/stop_orders.h"

static const uint64_t PATIENCE_NS = 10 * 1000000000ULL;

enum { ORDERS_MAX = 2 };

void stop_orders_add(struct stop_orders *orders, uint64_t now_ns)
{
	if (orders->given == 0) {
		orders->first_ns = now_ns;
	}
	orders->given += orders->given < ORDERS_MAX ? 1 : 0;
}

uint32_t stop_orders_untold(const struct stop_orders *orders, enum process_phase phase)
{
	switch (phase) {
	case PHASE_STARTING:
	case PHASE_RUNNING:
		return orders->given;
	case PHASE_LAME_DUCK:
	case PHASE_DRAINING:
	case PHASE_STOPPED:
		break;
	}
	return orders->given > 0 ? orders->given - 1 : 0;
}

bool stop_orders_final(const struct stop_orders *orders, uint64_t now_ns)
{
	return orders->given == ORDERS_MAX ||
		(orders->given > 0 && now_ns - orders->first_ns >= PATIENCE_NS);
}
