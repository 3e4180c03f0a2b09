package metrics

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// daemon writes how the daemon itself is. What every program has bears the names
// that every exporter gives it.
func (c *Collector) daemon(t *text) {
	one := func(name string, k kind, help string, value float64, labels ...label) {
		t.family(name, k, help)
		t.series(name, value, labels...)
	}
	one("virbr_build_info", gauge, "Version of virbrd and of the Go that built it; always 1.", 1,
		label{"version", c.cfg.Version}, label{"goversion", runtime.Version()})
	one("virbr_clients", gauge, "Clients that are connected.", float64(c.cfg.Clients()))
	one("process_start_time_seconds", gauge, "When the daemon started, in seconds since 1970.", float64(c.began.UnixMilli())/1000)
	one("go_goroutines", gauge, "Goroutines that there are.", float64(runtime.NumGoroutine()))
	if bytes, ok := resident(); ok {
		one("process_resident_memory_bytes", gauge, "Memory of the daemon that is in RAM.", bytes)
	}
	if n, ok := descriptors(); ok {
		one("process_open_fds", gauge, "Files and sockets that the daemon has open.", float64(n))
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err == nil {
		one("process_cpu_seconds_total", counter, "Processor time that the daemon used.", seconds(used.Utime)+seconds(used.Stime))
	}
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// resident reads the second field of /proc/self/statm, in pages.
func resident() (float64, bool) {
	data, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(data)
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return float64(pages) * float64(os.Getpagesize()), err == nil
}

// descriptors counts open files, without the one that the count itself needs.
func descriptors() (int, bool) {
	list, err := os.ReadDir("/proc/self/fd")
	return len(list) - 1, err == nil
}
