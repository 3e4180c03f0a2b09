package config

import (
	"fmt"
	"strconv"
)

// Error refuses a configuration file. It prints as "file:line: message".
type Error struct {
	File string
	Line int // from 1; 0: the file as a whole
	Msg  string
}

// Error returns the place and the message on one line.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Msg
}

func errorAt(file string, line int, format string, args ...any) *Error {
	return &Error{File: file, Line: line, Msg: fmt.Sprintf(format, args...)}
}
