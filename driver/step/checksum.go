package step

var checksumOps = []Op{FillChecksums{}, UnfillChecksums{}}

// FillChecksums has the kernel fill in the UDP checksums of DHCP replies that
// leave the bridge, which guests that read raw packets need.
type FillChecksums struct{ Bridge string }

func (o FillChecksums) kind() kind {
	return kind{tag: "fill-checksums", key: "checksums " + word(o.Bridge), scope: ScopeFirewall}
}

func (o FillChecksums) String() string { return "checksums fill " + word(o.Bridge) }

// UnfillChecksums undoes FillChecksums where that is not tied to the link.
type UnfillChecksums struct{ Bridge string }

func (o UnfillChecksums) kind() kind {
	return kind{tag: "unfill-checksums", key: "checksums " + word(o.Bridge), scope: ScopeFirewall, phase: PhaseChecksums}
}

func (o UnfillChecksums) String() string { return "checksums leave " + word(o.Bridge) }
