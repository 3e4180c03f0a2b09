#include "libvirt.h"

#include <dlfcn.h>
#include <stdio.h>

struct libvirt libvirt;

/* Where a function's address goes, and whether there is no way without it. */
struct symbol {
	const char *name;
	void *place;
	bool optional;
};

static const struct symbol symbols[] = {
	{"virRegisterConnectDriver", &libvirt.register_connect_driver, false},
	{"virSetSharedNetworkDriver", &libvirt.set_shared_network_driver, false},
	{"virGetNetwork", &libvirt.get_network, false},
	{"virGetNetworkPort", &libvirt.get_network_port, false},
	{"virSetError", &libvirt.set_error, false},
	{"virErrorPreserveLast", &libvirt.error_preserve_last, false},
	{"virErrorRestore", &libvirt.error_restore, false},
	{"virIdentityGetCurrent", &libvirt.identity_get_current, false},
	{"virIdentityGetSystem", &libvirt.identity_get_system, false},
	{"virIdentityGetUserName", &libvirt.identity_get_user_name, false},
	{"virIdentityGetUNIXUserID", &libvirt.identity_get_unix_user_id, false},
	{"virIdentityGetGroupName", &libvirt.identity_get_group_name, false},
	{"virIdentityGetUNIXGroupID", &libvirt.identity_get_unix_group_id, false},
	{"virIdentityGetProcessID", &libvirt.identity_get_process_id, false},
	{"virIdentityGetProcessTime", &libvirt.identity_get_process_time, false},
	{"virIdentityGetSASLUserName", &libvirt.identity_get_sasl_user_name, false},
	{"virIdentityGetX509DName", &libvirt.identity_get_x509_dname, false},
	{"virIdentityGetSELinuxContext", &libvirt.identity_get_selinux_context, false},
	{"g_object_unref", &libvirt.object_unref, false},
	{"virNetworkSetMetadata", &libvirt.network_set_metadata, true},
	{"virNetworkGetMetadata", &libvirt.network_get_metadata, true},
};

bool libvirt_load(char *why, size_t size)
{
	unsigned long version = 0;
	if (virGetVersion(&version, NULL, NULL) < 0) {
		snprintf(why, size, "libvirt does not tell its version");
		return false;
	}
	if (version < LIBVIRT_OLDEST || version > LIBVIRT_NEWEST) {
		snprintf(why, size, "libvirt %lu.%lu.%lu is not known to it; it knows %lu.%lu to %lu",
			 version / 1000000, version / 1000 % 1000, version % 1000,
			 LIBVIRT_OLDEST / 1000000, LIBVIRT_OLDEST / 1000 % 1000, LIBVIRT_NEWEST / 1000000);
		return false;
	}
	for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
		void *address = dlsym(RTLD_DEFAULT, symbols[i].name);
		if (!address && !symbols[i].optional) {
			snprintf(why, size, "libvirt has no function %s", symbols[i].name);
			return false;
		}
		*(void **)symbols[i].place = address; /* POSIX: a function's address fits */
	}
	return true;
}
