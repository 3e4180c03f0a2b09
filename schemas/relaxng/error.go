package relaxng

import "fmt"

// Error says why a document does not fit its schema. The first mistake in
// document order is told.
type Error struct {
	Line    int    // of the element's start tag, from 1; 0: unknown
	Element string // local name of the element at fault
	Msg     string // what is wrong with it
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("element %q: %s", e.Element, e.Msg)
	}
	return fmt.Sprintf("line %d: element %q: %s", e.Line, e.Element, e.Msg)
}

// SchemaError says why a schema could not be compiled.
type SchemaError struct {
	File string
	Line int
	Msg  string
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("compiling schema: %s:%d: %s", e.File, e.Line, e.Msg)
}
