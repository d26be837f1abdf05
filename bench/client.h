/*
 * One session of the load generator: sends its stream, checks the one that comes back.
 *
 * Owner and thread: the load generator's only one. The socket belongs to the client until
 * client_close().
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/hello.h"

enum client_event {
	CLIENT_PROGRESS,  /* nothing to tell */
	CLIENT_EXCHANGED, /* all is sent and received that was asked for */
	CLIENT_ENDED,     /* the other side ended, where it should */
	CLIENT_FAILED,    /* see `failure` */
};

enum client_failure {
	FAILURE_NONE,
	FAILURE_CONNECT,   /* refused, timed out, unreachable */
	FAILURE_RESET,     /* the connection was reset */
	FAILURE_TRUNCATED, /* FIN before the last byte */
	FAILURE_CORRUPT,   /* a byte is not the one that was sent */
	FAILURE_EXTRA,     /* more bytes than were sent */
	FAILURE_LATE,      /* not done when the time was up */
	FAILURE_COUNT,
};

enum client_end {
	END_STAYS,   /* the other side does not end */
	END_FOLLOWS, /* it ends after the last byte */
	END_BREAKS,  /* it ends when it likes, by FIN or reset, and sending may fail before */
};

struct client {
	int fd;            /* owned; -1: none */
	uint32_t stream;   /* number of the pattern */
	uint32_t interest; /* what epoll watches; 0: nothing yet */
	enum client_end end;
	enum client_failure failure;
	bool half_close;           /* FIN when all is sent */
	bool mute;                 /* sending has failed, or FIN is out */
	bool holding;              /* does not read */
	uint64_t due_ns;           /* when the running request was to be sent */
	uint64_t sent;             /* bytes */
	uint64_t send_until;       /* bytes */
	uint64_t received;         /* bytes */
	uint64_t receive_until;    /* bytes */
	uint8_t hello[HELLO_SIZE]; /* the head of the stream */
};

/* Connects. The first bytes go out by client_send(). False, with `failure`, when it cannot. */
bool client_open(struct client *client, const struct sockaddr_in *address, uint32_t source,
	const struct hello *hello);

void client_close(struct client *client);

/* Sends what it can now, and tells epoll what it waits for. CLIENT_PROGRESS or CLIENT_FAILED. */
enum client_event client_send(struct client *client, int epoll_fd);

/* What epoll reported. Reads at most once. */
enum client_event client_on_ready(struct client *client, int epoll_fd, uint32_t events);

/* Sets what epoll watches, after `holding` has changed. */
void client_watch(struct client *client, int epoll_fd);
