package qemutest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// program adds a program by name or path, at its own path and in /bin, with
// the shared libraries that it loads.
func (a *archive) program(name string) error {
	file, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("needs the program %q in the guest: %w; install it", name, err)
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return err
	}
	a.once(file)
	if base := filepath.Base(name); !a.dirs["/bin/"+base] && file != "/bin/"+base {
		a.dirs["/bin/"+base] = true
		a.link("/bin/"+base, file)
	}
	return a.libraries(file)
}

// libraries adds what the dynamic linker would load for a file; static
// programs have none.
func (a *archive) libraries(file string) error {
	out, err := exec.Command("ldd", file).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
		return fmt.Errorf("ldd %s: %w\n%s", file, err, out)
	}
	for line := range strings.Lines(string(out)) {
		for word := range strings.FieldsSeq(line) {
			if strings.HasPrefix(word, "/") && strings.Contains(filepath.Base(word), ".so") {
				a.once(word)
			}
		}
	}
	return nil
}

// once copies a file of this machine to the same path, once.
func (a *archive) once(file string) { a.onceAt(file, file) }

// onceAt copies a file of this machine to a path, once.
func (a *archive) onceAt(name, file string) {
	if a.dirs[name] {
		return
	}
	a.dirs[name] = true
	a.copy(name, file)
}
