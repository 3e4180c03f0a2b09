package wording

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed testdata/*.virsh
var sessions embed.FS

// Sessions returns the paths of all sessions.
func Sessions() ([]string, error) {
	list, err := fs.Glob(sessions, "testdata/*.virsh")
	if err == nil && len(list) == 0 {
		err = errors.New("there are no sessions of virsh")
	}
	return list, err
}

// Session runs each line of a file as a virsh command, by a function that runs a
// shell script, and returns commands, output and errors, with generated values made
// equal. Lines "file NAME" up to "end" write a file to dir, which the scripts know
// as place; "shell" lines are scripts themselves. The variable URI is up to run.
func Session(path, dir, place string, run func(script string) ([]byte, error)) (string, error) {
	text, err := sessions.ReadFile(path)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		name, isFile := strings.CutPrefix(line, "file ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case isFile:
			var body []string
			for i++; i < len(lines) && lines[i] != "end"; i++ {
				body = append(body, lines[i])
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(body, "\n")+"\n"), 0o644); err != nil {
				return "", err
			}
		default:
			script, isShell := strings.CutPrefix(line, "shell ")
			if !isShell {
				script = `virsh -c "$URI" ` + line
			}
			answer, err := run("cd " + place + "\n" + script)
			out.WriteString("$ " + line + "\n" + Generated(string(answer)))
			if err != nil {
				out.WriteString("? " + err.Error() + "\n")
			}
		}
	}
	return strings.ReplaceAll(out.String(), place+"/", ""), nil
}

var (
	uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	macs  = regexp.MustCompile(`52:54:00(:[0-9a-f]{2}){3}`)
	// virbrd leaves room for hosts outside of the ranges, libvirt does not.
	leases = regexp.MustCompile(`dhcp-lease-max=\d+`)
)

// Generated makes random values equal, and the one that differs on purpose.
func Generated(s string) string {
	s = macs.ReplaceAllString(uuids.ReplaceAllString(s, "UUID"), "MAC")
	return leases.ReplaceAllString(s, "dhcp-lease-max=N")
}
