/*
 * Connections to virbrd: a few, each of which serves one call at a time.
 *
 * libvirt's client library does the talking. Two things it does not do are done
 * here. Opening a connection has no time limit in it, so one thread of ours, the
 * service thread, opens and closes connections; callers wait for it as long as
 * they like to. And a connection speaks for one identity at a time, so it is given
 * its caller's before each call; that also shows whether virbrd still is at its
 * other end, before anything is asked that must not be asked twice.
 */
#include "virbrd.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "event.h"

#define VIRBRD_SOCKET "/run/libvirt/virtnetworkd-sock"
/* A URI with a socket counts as remote, so that libvirtd does not answer it itself. */
#define VIRBRD_URI "network+unix:///system?socket=" VIRBRD_SOCKET

enum {
	OPEN_SECONDS = 30,     /* a caller waits so long for a connection */
	KEEPALIVE_INTERVAL = 5, /* seconds without a word from virbrd before it is asked for one */
	KEEPALIVE_COUNT = 3,    /* so many in vain, and the connection is dead: after 20 s */
	IDLE_SECONDS = 30,      /* unused ones are closed: virbrd may end when nobody needs it */
	WATCH_SECONDS = 2,      /* how often connections with events are looked at */
};

static struct {
	pthread_mutex_t lock; /* guards all that follows; nobody talks to virbrd under it */
	pthread_cond_t work;  /* for the service thread */
	pthread_cond_t done;  /* for callers */
	bool started;
	bool watching;           /* there are events to look after */
	struct connection *idle; /* the last used first */
	struct connection *closing;
	bool wanted;             /* callers wait for a connection */
	time_t opening;          /* since when one is being opened; 0: none is */
	unsigned long failed;    /* openings that failed */
	virErrorPtr error;       /* of the last of them */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* Seconds of a clock that nobody sets. */
static time_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void wait_until(pthread_cond_t *cond, time_t end)
{
	struct timespec t = {.tv_sec = end, .tv_nsec = 0};
	pthread_cond_clockwait(cond, &pool.lock, CLOCK_MONOTONIC, &t);
}

void set_error(int code, int domain, const char *message)
{
	struct _virError e;
	memset(&e, 0, sizeof e);
	e.code = code;
	e.domain = domain;
	e.level = VIR_ERR_ERROR;
	e.message = (char *)message; /* it is copied */
	e.int1 = e.int2 = -1;
	libvirt.set_error(&e);
}

/* Says that virbrd cannot be reached, and why. The lock is held. */
static void set_open_error(void)
{
	const char *why = pool.error && pool.error->message ? pool.error->message : "out of memory";
	char *text = NULL;
	if (asprintf(&text, "virbrd, which serves the networks of this host, cannot be reached: %s", why) < 0)
		text = NULL;
	set_error(pool.error ? pool.error->code : VIR_ERR_NO_MEMORY, VIR_FROM_NETWORK, text ? text : why);
	free(text);
}

static bool add_string(struct caller *c, int *max, const char *key, int has, const char *value)
{
	return has >= 0 && (has == 0 || virTypedParamsAddString(&c->params, &c->n, max, key, value) == 0);
}

static bool add_number(struct caller *c, int *max, const char *key, int has, unsigned long long value)
{
	return has >= 0 && (has == 0 || virTypedParamsAddULLong(&c->params, &c->n, max, key, value) == 0);
}

static bool caller_fill(struct caller *c, identity_ptr id)
{
	int max = 0, has;
	const char *text = NULL;
	uid_t uid = 0;
	gid_t gid = 0;
	pid_t pid = 0;
	unsigned long long started = 0;

	has = libvirt.identity_get_user_name(id, &text);
	if (!add_string(c, &max, VIR_CONNECT_IDENTITY_USER_NAME, has, text))
		return false;
	has = libvirt.identity_get_unix_user_id(id, &uid);
	if (!add_number(c, &max, VIR_CONNECT_IDENTITY_UNIX_USER_ID, has, uid))
		return false;
	has = libvirt.identity_get_group_name(id, &text);
	if (!add_string(c, &max, VIR_CONNECT_IDENTITY_GROUP_NAME, has, text))
		return false;
	has = libvirt.identity_get_unix_group_id(id, &gid);
	if (!add_number(c, &max, VIR_CONNECT_IDENTITY_UNIX_GROUP_ID, has, gid))
		return false;
	has = libvirt.identity_get_process_id(id, &pid);
	if (has < 0 || (has && virTypedParamsAddLLong(&c->params, &c->n, &max, VIR_CONNECT_IDENTITY_PROCESS_ID, pid) < 0))
		return false;
	has = libvirt.identity_get_process_time(id, &started);
	if (!add_number(c, &max, VIR_CONNECT_IDENTITY_PROCESS_TIME, has, started))
		return false;
	has = libvirt.identity_get_sasl_user_name(id, &text);
	if (!add_string(c, &max, VIR_CONNECT_IDENTITY_SASL_USER_NAME, has, text))
		return false;
	has = libvirt.identity_get_x509_dname(id, &text);
	if (!add_string(c, &max, VIR_CONNECT_IDENTITY_X509_DISTINGUISHED_NAME, has, text))
		return false;
	has = libvirt.identity_get_selinux_context(id, &text);
	return add_string(c, &max, VIR_CONNECT_IDENTITY_SELINUX_CONTEXT, has, text);
}

bool caller_get(struct caller *c)
{
	*c = (struct caller){NULL, 0};
	identity_ptr id = libvirt.identity_get_current();
	if (!id)
		id = libvirt.identity_get_system();
	if (!id)
		return false;
	bool ok = caller_fill(c, id);
	libvirt.object_unref(id);
	if (!ok)
		caller_free(c);
	return ok;
}

void caller_free(struct caller *c)
{
	virErrorPtr error;
	libvirt.error_preserve_last(&error);
	virTypedParamsFree(c->params, c->n);
	libvirt.error_restore(&error);
	*c = (struct caller){NULL, 0};
}

bool virbrd_listens(void)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = VIRBRD_SOCKET};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool listens = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
	if (fd >= 0)
		close(fd);
	return listens;
}

struct connection *virbrd_open(const struct caller *caller)
{
	struct connection *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->event = -1;
	c->conn = virConnectOpen(VIRBRD_URI);
	if (c->conn && virConnectSetKeepAlive(c->conn, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT) >= 0 &&
	    (!caller || virConnectSetIdentity(c->conn, caller->params, caller->n, 0) == 0))
		return c;
	virErrorPtr error;
	libvirt.error_preserve_last(&error);
	if (c->conn)
		virConnectClose(c->conn);
	libvirt.error_restore(&error);
	free(c);
	return NULL;
}

/* What follows, up to start, is the service thread's. Functions are called with the
 * lock held, and let go of it while they talk to virbrd. */

static void open_one(void)
{
	pool.opening = now();
	pool.wanted = false;
	pthread_mutex_unlock(&pool.lock);
	struct connection *c = virbrd_open(NULL);
	virErrorPtr error = c ? NULL : virSaveLastError();
	pthread_mutex_lock(&pool.lock);
	pool.opening = 0;
	if (c) {
		c->since = now();
		c->next = pool.idle;
		pool.idle = c;
	} else {
		virFreeError(pool.error);
		pool.error = error;
		pool.failed++;
	}
	pthread_cond_broadcast(&pool.done);
}

static void close_one(void)
{
	struct connection *c = pool.closing;
	pool.closing = c->next;
	pthread_mutex_unlock(&pool.lock);
	if (c->event >= 0)
		virConnectNetworkEventDeregisterAny(c->conn, c->event);
	virConnectClose(c->conn);
	free(c);
	pthread_mutex_lock(&pool.lock);
}

/* Puts connections that were idle for long among those to be closed. */
static void retire(void)
{
	struct connection **p = &pool.idle;
	while (*p && now() - (*p)->since < IDLE_SECONDS)
		p = &(*p)->next;
	while (*p) {
		struct connection *c = *p;
		*p = c->next;
		c->next = pool.closing;
		pool.closing = c;
	}
}

static void repair(void)
{
	pool.watching = false;
	pthread_mutex_unlock(&pool.lock);
	bool more = events_repair();
	pthread_mutex_lock(&pool.lock);
	pool.watching = pool.watching || more;
}

static void *serve(void *unused)
{
	(void)unused;
	time_t look = 0;
	pthread_mutex_lock(&pool.lock);
	for (;;) {
		retire();
		if (pool.wanted && !pool.idle) {
			open_one();
		} else if (pool.closing) {
			close_one();
		} else if (pool.watching && now() >= look) {
			repair();
			look = now() + WATCH_SECONDS;
		} else if (pool.watching) {
			wait_until(&pool.work, look);
		} else if (pool.idle) {
			wait_until(&pool.work, now() + IDLE_SECONDS);
		} else {
			pthread_cond_wait(&pool.work, &pool.lock);
		}
	}
	return NULL;
}

/* Starts the service thread, which lives as long as libvirtd does, with the first
 * need of it. The lock is held. */
static bool start(void)
{
	if (pool.started)
		return true;
	sigset_t all, before;
	pthread_t thread;
	sigfillset(&all); /* signals are for libvirtd's own threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pool.started = pthread_create(&thread, NULL, serve, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pool.started)
		pthread_detach(thread);
	else
		set_error(VIR_ERR_INTERNAL_ERROR, VIR_FROM_NETWORK, "internal error: no thread for connections to virbrd can be made");
	return pool.started;
}

/* An idle connection; waits for one to be opened or given back. */
static struct connection *take_idle(time_t end)
{
	struct connection *c = NULL;
	pthread_mutex_lock(&pool.lock);
	if (!start())
		goto out;
	unsigned long failed = pool.failed;
	/* Where an opening has hung for long, nobody else begins to wait for it. */
	while (!pool.idle && pool.failed == failed && now() < end && !(pool.opening && now() - pool.opening >= OPEN_SECONDS)) {
		pool.wanted = true;
		pthread_cond_signal(&pool.work);
		wait_until(&pool.done, end);
	}
	c = pool.idle;
	if (c)
		pool.idle = c->next;
	else if (pool.failed != failed)
		set_open_error();
	else
		set_error(VIR_ERR_OPERATION_TIMEOUT, VIR_FROM_NETWORK, "Timed out during operation: virbrd, which serves the networks of this host, does not answer");
out:
	pthread_mutex_unlock(&pool.lock);
	return c;
}

struct connection *virbrd_take(const struct caller *caller)
{
	time_t end = now() + OPEN_SECONDS;
	for (;;) {
		struct connection *c = take_idle(end);
		if (!c || virConnectSetIdentity(c->conn, caller->params, caller->n, 0) == 0)
			return c;
		virErrorPtr error;
		libvirt.error_preserve_last(&error);
		bool alive = virConnectIsAlive(c->conn) == 1;
		virbrd_close(c); /* with nobody's identity it is nobody's */
		libvirt.error_restore(&error);
		if (alive || now() >= end)
			return NULL;
	}
}

void virbrd_give(struct connection *c)
{
	pthread_mutex_lock(&pool.lock);
	c->since = now();
	c->next = pool.idle;
	pool.idle = c;
	pthread_cond_signal(&pool.done);
	pthread_cond_signal(&pool.work); /* it may be the first one to be retired */
	pthread_mutex_unlock(&pool.lock);
}

void virbrd_close(struct connection *c)
{
	pthread_mutex_lock(&pool.lock);
	c->next = pool.closing;
	pool.closing = c;
	pthread_cond_signal(&pool.work);
	pthread_mutex_unlock(&pool.lock);
}

void virbrd_watch(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.watching = true;
	pthread_cond_signal(&pool.work);
	pthread_mutex_unlock(&pool.lock);
}
