/*
 * libvirt_driver_network.so: what a monolithic libvirtd loads as its network driver. It
 * serves libvirtd's networks by virbrd. Where it must not (a libvirt that it does
 * not know, virbrd.conf says so, a session's libvirtd), it loads libvirt's own driver,
 * which the package has moved aside, and says why: the host keeps its networks.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libvirt.h"
#include "network.h"

/* What dpkg-divert appends to the name of a file that it moves aside. */
#define ASIDE ".distrib"

#define CONFIG "/etc/virbr/virbrd.conf"

/* The lock that a network driver of libvirt and virbrd both take: one of them runs. */
#define DRIVER_PID "/run/libvirt/network/driver.pid"

enum { END_MILLISECONDS = 10000, END_STEP = 20 }; /* for virbrd to end in */

int networkRegister(void) __attribute__((visibility("default")));

/* Tells the journal, where libvirtd's standard error goes. */
__attribute__((format(printf, 2, 3))) static void tell(int priority, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	flockfile(stderr);
	if (getenv("JOURNAL_STREAM")) /* sd-daemon(3) */
		fprintf(stderr, "<%d>", priority);
	fputs("virbr: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	funlockfile(stderr);
	va_end(args);
}

enum { ERROR = 3, WARNING = 4, INFO = 6 };

/* A URI is for us if its path is /system. */
static int connect_open(virConnectPtr conn, virConnectAuthPtr auth, void *conf, unsigned int flags)
{
	(void)auth;
	(void)conf;
	(void)flags;
	char *uri = virConnectGetURI(conn);
	if (!uri)
		return OPEN_ERROR;
	const char *path = strstr(uri, "://"); /* only URIs without a server come here */
	path = path ? path + 3 : strchr(uri, ':') ? strchr(uri, ':') + 1 : uri;
	size_t n = strcspn(path, "?#");
	bool ours = n == strlen("/system") && strncmp(path, "/system", n) == 0;
	if (!ours) {
		char message[256];
		snprintf(message, sizeof message, "internal error: unexpected network URI path '%.*s', try network:///system", (int)n, path);
		struct _virError e;
		memset(&e, 0, sizeof e);
		e.code = VIR_ERR_INTERNAL_ERROR;
		e.level = VIR_ERR_ERROR;
		e.message = message;
		libvirt.set_error(&e);
	}
	free(uri);
	return ours ? OPEN_SUCCESS : OPEN_ERROR;
}

static int connect_close(virConnectPtr conn)
{
	(void)conn;
	return 0;
}

/* What every driver of libvirtd supports; libvirt sends section and command of an
 * update the wrong way round to one that does not say so. */
static int connect_supports_feature(virConnectPtr conn, int feature)
{
	enum { FD_PASSING = 8, TYPED_PARAM_STRING = 9, NETWORK_UPDATE_HAS_CORRECT_ORDER = 16 };
	(void)conn;
	return feature == FD_PASSING || feature == TYPED_PARAM_STRING || feature == NETWORK_UPDATE_HAS_CORRECT_ORDER;
}

static const struct hypervisor_driver hypervisor_driver = {
	.name = "network",
	.connect_open = connect_open,
	.connect_close = connect_close,
	.connect_supports_feature = connect_supports_feature,
};

static const char *uri_schemes[] = {"network", NULL};

static const struct connect_driver connect_driver = {
	.local_only = true,
	.uri_schemes = uri_schemes,
	.hypervisor = &hypervisor_driver,
	.network = &network_driver,
};

/* Whether virbrd.conf says libvirtd_module = "disabled": the first assignment counts. virbrd
 * reads the file with more care, and refuses what is wrong in it. */
static bool disabled(void)
{
	bool found = false, off = false;
	char *line = NULL;
	size_t size = 0;
	FILE *f = fopen(CONFIG, "re");
	while (f && !found && getline(&line, &size, f) >= 0) {
		char quote = 0, word[16] = "";
		found = sscanf(line, " libvirtd_module = %c%15[a-z]", &quote, word) == 2 && (quote == '"' || quote == '\'');
		off = found && strcmp(word, "disabled") == 0;
	}
	free(line);
	if (f)
		fclose(f);
	return off;
}

/* The virbrd that holds the lock; 0: none does. */
static pid_t virbrd_running(void)
{
	char text[32] = "", link[64], program[4096];
	struct flock taken = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = open(DRIVER_PID, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	bool locked = fcntl(fd, F_GETLK, &taken) == 0 && taken.l_type != F_UNLCK;
	ssize_t n = locked ? read(fd, text, sizeof text - 1) : 0;
	close(fd);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;
	if (pid <= 1)
		return 0;
	snprintf(link, sizeof link, "/proc/%ld/exe", pid);
	n = readlink(link, program, sizeof program - 1);
	if (n < 0)
		return 0;
	program[n] = 0;
	const char *name = strrchr(program, '/');
	return name && (strcmp(name, "/virbrd") == 0 || strcmp(name, "/virbrd (deleted)") == 0) ? (pid_t)pid : 0;
}

/* libvirt's driver, and all of libvirtd with it, does not start beside virbrd. So that
 * one has to end; networks go on without it, and libvirt's driver takes them over. */
static void end_virbrd(void)
{
	const struct timespec step = {.tv_nsec = END_STEP * 1000000L};
	pid_t pid = virbrd_running();
	if (!pid || kill(pid, SIGTERM) < 0)
		return;
	tell(WARNING, "virbrd (%d) is ended for it; networks go on", (int)pid);
	for (int ms = 0; ms < END_MILLISECONDS && virbrd_running() == pid; ms += END_STEP)
		nanosleep(&step, NULL);
}

/* Loads libvirt's own driver. False if that is not there or does not load. */
static bool load_original(const char *why)
{
	char path[4096];
	Dl_info self;
	if (!dladdr(&connect_driver, &self) || snprintf(path, sizeof path, "%s" ASIDE, self.dli_fname) >= (int)sizeof path)
		return false;
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int (*original)(void) = NULL;
	if (module)
		*(void **)&original = dlsym(module, "networkRegister");
	if (!original) {
		tell(ERROR, "%s; and libvirt's own network driver cannot be loaded: %s", why, dlerror());
		return false;
	}
	/* A session's libvirtd always does, and has nothing to do with virbrd. */
	tell(geteuid() == 0 ? WARNING : INFO, "libvirt's own network driver is loaded instead of virbr's module: %s", why);
	if (geteuid() == 0)
		end_virbrd();
	return original() == 0;
}

int networkRegister(void)
{
	char why[256];
	bool able = libvirt_load(why, sizeof why), wanted = false;
	if (able && geteuid() != 0)
		snprintf(why, sizeof why, "virbrd serves networks of the system only, not of a session");
	else if (able && disabled())
		snprintf(why, sizeof why, "%s says libvirtd_module = \"disabled\"", CONFIG);
	else
		wanted = able;
	if (!wanted && load_original(why))
		return 0;
	if (!able) {
		tell(ERROR, "this libvirtd has no network driver");
		return 0; /* guests without networks of libvirt can do without */
	}
	if (libvirt.register_connect_driver(&connect_driver, false) < 0 || libvirt.set_shared_network_driver(&network_driver) < 0)
		return -1;
	tell(INFO, "virbrd serves the networks of this libvirtd, by module " VERSION);
	return 0;
}
