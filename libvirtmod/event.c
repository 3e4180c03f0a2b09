/*
 * Each registration of a client has a connection to virbrd of its own, with that
 * client's identity: so virbrd decides, as it would for a client that came
 * directly, who may hear of which network. Events arrive in libvirtd's event loop,
 * which also tells of clients that went: nothing here waits for virbrd in that thread.
 */
#include "event.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "virbrd.h"

/* Since 9.8. */
enum { LIFECYCLE = VIR_NETWORK_EVENT_ID_LIFECYCLE, METADATA_CHANGE = 1 };
typedef void (*metadata_callback)(virConnectPtr, virNetworkPtr, int type, const char *uri, void *opaque);

typedef void (*any_function)(void); /* casts of functions go by way of it */

struct registration {
	int id;
	int event;
	virConnectPtr conn; /* libvirtd's, with a reference */
	char *name;         /* the one network; NULL: all */
	unsigned char uuid[VIR_UUID_BUFLEN];
	virConnectNetworkEventGenericCallback cb;
	void *opaque;
	virFreeCallback freecb;
	struct caller caller;

	/* Guarded by the lock. */
	struct connection *virbrd; /* NULL: lost */
	bool gone;                 /* deregistered */
	int refs;                  /* of the list and of those at work with it */
	struct registration *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct registration *list; /* the newest first, so ids fall */
static int next_id;

static void unref(struct registration *r)
{
	pthread_mutex_lock(&lock);
	bool last = --r->refs == 0;
	pthread_mutex_unlock(&lock);
	if (!last)
		return;
	if (r->freecb)
		r->freecb(r->opaque);
	caller_free(&r->caller);
	virConnectClose(r->conn);
	free(r->name);
	free(r);
}

/* The registration with an id, for a while: unref ends it. */
static struct registration *find(int id)
{
	pthread_mutex_lock(&lock);
	struct registration *r = list;
	while (r && r->id != id)
		r = r->next;
	if (r)
		r->refs++;
	pthread_mutex_unlock(&lock);
	return r;
}

/* A network of virbrd as one of the client's connection. */
static virNetworkPtr of_client(struct registration *r, virNetworkPtr net)
{
	unsigned char uuid[VIR_UUID_BUFLEN];
	if (virNetworkGetUUID(net, uuid) < 0)
		return NULL;
	return libvirt.get_network(r->conn, virNetworkGetName(net), uuid);
}

static void on_lifecycle(virConnectPtr conn, virNetworkPtr net, int event, int detail, void *opaque)
{
	(void)conn;
	struct registration *r = find((int)(intptr_t)opaque);
	virNetworkPtr ours = r ? of_client(r, net) : NULL;
	if (ours) {
		((virConnectNetworkEventLifecycleCallback)(any_function)r->cb)(r->conn, ours, event, detail, r->opaque);
		virNetworkFree(ours);
	}
	if (r)
		unref(r);
}

static void on_metadata(virConnectPtr conn, virNetworkPtr net, int type, const char *uri, void *opaque)
{
	(void)conn;
	struct registration *r = find((int)(intptr_t)opaque);
	virNetworkPtr ours = r ? of_client(r, net) : NULL;
	if (ours) {
		((metadata_callback)(any_function)r->cb)(r->conn, ours, type, uri, r->opaque);
		virNetworkFree(ours);
	}
	if (r)
		unref(r);
}

/* Registers on a connection to virbrd. */
static bool attach(struct registration *r, struct connection *c)
{
	virConnectNetworkEventGenericCallback cb = r->event == LIFECYCLE ? (virConnectNetworkEventGenericCallback)(any_function)on_lifecycle : (virConnectNetworkEventGenericCallback)(any_function)on_metadata;
	virNetworkPtr only = NULL;
	if (r->name && !(only = libvirt.get_network(c->conn, r->name, r->uuid)))
		return false;
	c->event = virConnectNetworkEventRegisterAny(c->conn, only, r->event, cb, (void *)(intptr_t)r->id, NULL);
	if (only) {
		virErrorPtr error;
		libvirt.error_preserve_last(&error);
		virNetworkFree(only);
		libvirt.error_restore(&error);
	}
	return c->event >= 0;
}

/* Whether a client has registered the same already, which libvirt's driver refuses. */
static bool tracked(virConnectPtr conn, const char *name, const unsigned char *uuid, int event)
{
	pthread_mutex_lock(&lock);
	struct registration *r = list;
	while (r && !(r->conn == conn && r->event == event && !r->name == !name && (!name || memcmp(r->uuid, uuid, VIR_UUID_BUFLEN) == 0)))
		r = r->next;
	pthread_mutex_unlock(&lock);
	return r != NULL;
}

static struct registration *new_registration(virConnectPtr conn, virNetworkPtr net, int event)
{
	struct registration *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->event = event;
	if (net && (virNetworkGetUUID(net, r->uuid) < 0 || !(r->name = strdup(virNetworkGetName(net))))) {
		free(r);
		return NULL;
	}
	if (tracked(conn, r->name, r->uuid, event)) {
		set_error(VIR_ERR_INVALID_ARG, VIR_FROM_NONE, "invalid argument: event callback already tracked");
	} else if (caller_get(&r->caller)) {
		virConnectRef(conn);
		r->conn = conn;
		r->refs = 1;
		return r;
	}
	free(r->name);
	free(r);
	return NULL;
}

int event_register(virConnectPtr conn, virNetworkPtr net, int event, virConnectNetworkEventGenericCallback cb, void *opaque, virFreeCallback freecb)
{
	struct registration *r = new_registration(conn, net, event);
	if (!r)
		return -1;
	pthread_mutex_lock(&lock);
	int id = r->id = next_id++;
	pthread_mutex_unlock(&lock);
	struct connection *c = virbrd_take(&r->caller);
	if (!c || !attach(r, c)) {
		virErrorPtr error;
		libvirt.error_preserve_last(&error);
		if (c)
			virbrd_close(c);
		unref(r); /* without the callback: who asked still has it */
		libvirt.error_restore(&error);
		return -1;
	}
	r->cb = cb;
	r->opaque = opaque;
	r->freecb = freecb;
	pthread_mutex_lock(&lock);
	r->virbrd = c;
	r->next = list;
	list = r;
	pthread_mutex_unlock(&lock);
	virbrd_watch();
	return id;
}

int event_deregister(virConnectPtr conn, int id)
{
	pthread_mutex_lock(&lock);
	struct registration **p = &list;
	while (*p && !((*p)->id == id && (*p)->conn == conn))
		p = &(*p)->next;
	struct registration *r = *p;
	struct connection *c = NULL;
	if (r) {
		*p = r->next;
		r->gone = true;
		c = r->virbrd;
		r->virbrd = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (!r) {
		set_error(VIR_ERR_INTERNAL_ERROR, VIR_FROM_NETWORK, "internal error: there is no such event callback");
		return -1;
	}
	if (c)
		virbrd_close(c);
	unref(r);
	return 0;
}

/* Gives a registration a connection, if it has lost the one it had. */
static void reattach(struct registration *r)
{
	pthread_mutex_lock(&lock);
	struct connection *old = r->virbrd;
	if (old && virConnectIsAlive(old->conn) != 1)
		r->virbrd = NULL;
	bool lost = !r->virbrd && !r->gone;
	pthread_mutex_unlock(&lock);
	if (!lost)
		return;
	if (old)
		virbrd_close(old);
	struct connection *c = virbrd_listens() ? virbrd_open(&r->caller) : NULL;
	bool attached = c && attach(r, c);
	pthread_mutex_lock(&lock);
	bool keep = attached && !r->gone;
	if (keep)
		r->virbrd = c;
	pthread_mutex_unlock(&lock);
	if (c && !keep)
		virbrd_close(c);
}

bool events_repair(void)
{
	bool some = false;
	int id = next_id;
	for (;;) {
		pthread_mutex_lock(&lock);
		struct registration *r = list;
		while (r && r->id >= id)
			r = r->next;
		if (r)
			r->refs++;
		pthread_mutex_unlock(&lock);
		if (!r)
			return some;
		some = true;
		id = r->id;
		reattach(r);
		unref(r);
	}
}
