// Package netnstest runs tests inside network and mount namespaces of their
// own, on the real kernel, and gives them guests.
//
// A test that needs the kernel is written as
//
//	func TestStart(t *testing.T) {
//		t.Parallel()
//		netnstest.Run(t, func(t *testing.T) {
//			// everything here may change links, rules, sysctls, /run ...
//		})
//	}
//
// [Run] re-executes the test binary for that one test in new namespaces, so the
// whole process is inside: goroutines, threads and children cannot stray to
// the machine's own network. Inside,
//
//   - lo is up and there is no other link;
//   - /sys shows the new network namespace, /proc/sys/net is writable;
//   - /run, /etc/libvirt and /var/lib/libvirt (each where it exists) and
//     /var/lib/virbr and /etc/virbr are private and empty;
//   - every process that is still there when the test ends is killed, daemons too.
//
// A [Guest] is one more network namespace, joined by a veth pair to a bridge
// like a virtual machine by its tap. Wait for conditions with [Wait] and never
// with a sleep. [Snapshot] is for "is everything as it was found".
//
// Without root, Run asks for a user namespace as well; it maps one uid only, so
// programs that change their uid need root. Where the machine gives no
// namespaces the test is skipped with cause and cure, or fails when the
// environment has REQUIRE_NETNS=1.
package netnstest
