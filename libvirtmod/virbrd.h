/* Connections to virbrd. */
#ifndef VIRBR_VIRBRD_H
#define VIRBR_VIRBRD_H

#include <time.h>

#include "libvirt.h"

/* On whose behalf virbrd is asked, in the form of virConnectSetIdentity. */
struct caller {
	virTypedParameterPtr params;
	int n;
};

/* The identity of this thread, or libvirtd's own where it has none. False, with the
 * error of this thread set, if it cannot be had. */
bool caller_get(struct caller *c);

/* Keeps the error of this thread. */
void caller_free(struct caller *c);

struct connection {
	virConnectPtr conn;
	int event;    /* what is registered on it; -1: nothing */
	time_t since; /* when it became idle */
	struct connection *next;
};

/* A connection that speaks for the caller, and that nobody else uses until it is
 * given back or closed. NULL, with the error of this thread set, where virbrd
 * cannot be reached; that takes bounded time, whatever virbrd does. */
struct connection *virbrd_take(const struct caller *c);

/* Keeps the error of this thread. */
void virbrd_give(struct connection *c);

/* Has the service thread close a connection: nobody waits for virbrd. */
void virbrd_close(struct connection *c);

/* Whether somebody listens on virbrd's socket; libvirt's library would log that nobody does. */
bool virbrd_listens(void);

/* Opens one, and waits for virbrd without an end: for the service thread alone. */
struct connection *virbrd_open(const struct caller *c);

/* Has the service thread call events_repair from time to time, as long as that says
 * so. */
void virbrd_watch(void);

/* Sets the error of this thread. */
void set_error(int code, int domain, const char *message);

#endif
