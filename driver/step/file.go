package step

import (
	"fmt"
)

var fileOps = []Op{WriteFile{}}

// WriteFile writes a file atomically with the given permissions.
type WriteFile struct {
	Path string
	Mode uint32
	Data string
}

func (o WriteFile) kind() kind {
	return kind{tag: "write-file", key: "file " + word(o.Path), scope: ScopeService}
}

func (o WriteFile) String() string {
	return fmt.Sprintf("file write %s mode %04o (%d bytes)", word(o.Path), o.Mode, len(o.Data))
}
