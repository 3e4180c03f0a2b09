package cli

import (
	"io"
	"os"
)

// painter colours text where a person sees it.
type painter bool

// painterFor colours on terminals only, and not where NO_COLOR is set
// (https://no-color.org).
func painterFor(w io.Writer) painter {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return painter(err == nil && info.Mode()&os.ModeCharDevice != 0)
}

func (p painter) red(text string) string    { return p.wrap("31", text) }
func (p painter) green(text string) string  { return p.wrap("32", text) }
func (p painter) yellow(text string) string { return p.wrap("33", text) }
func (p painter) bold(text string) string   { return p.wrap("1", text) }

// plain colours nothing.
func (p painter) plain(text string) string { return text }

func (p painter) wrap(code, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
