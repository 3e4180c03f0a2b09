package qemutest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// kernel is an unpacked kernel package.
type kernel struct {
	image   string
	modules map[string]string // module name -> file
	builtin map[string]bool
}

// kernelEnv overrides the place of the unpacked kernel.
const kernelEnv = "VIRBR_TEST_KERNEL"

// findKernel finds the unpacked kernel: $VIRBR_TEST_KERNEL, or
// tests/.cache/kernel of the module that the working directory is in.
func findKernel() (*kernel, error) {
	dir := os.Getenv(kernelEnv)
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(root, "tests", ".cache", "kernel")
	}
	images, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if len(images) == 0 {
		return nil, fmt.Errorf("needs Debian's kernel below %s; run tests/install-deps", dir)
	}
	k := &kernel{image: images[0], modules: map[string]string{}, builtin: map[string]bool{}}
	return k, filepath.WalkDir(filepath.Join(dir, "lib", "modules"), k.add)
}

// add notes a module, or the list of those that are built in.
func (k *kernel) add(path string, entry fs.DirEntry, err error) error {
	if err != nil || entry.IsDir() {
		return err
	}
	if name, ok := strings.CutSuffix(entry.Name(), ".ko"); ok {
		k.modules[canonical(name)] = path
	}
	if entry.Name() == "modules.builtin" {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			k.builtin[canonical(strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko"))] = true
		}
	}
	return nil
}

// canonical is a module's name as the kernel writes it.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// order returns the files of modules and of what they depend on, each after
// what it needs. Built-in ones are left out.
func (k *kernel) order(names []string) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		name = canonical(name)
		if seen[name] || k.builtin[name] || name == "" {
			return nil
		}
		seen[name] = true
		file, ok := k.modules[name]
		if !ok {
			return fmt.Errorf("kernel %s has no module %q", filepath.Base(k.image), name)
		}
		needs, wishes, err := depends(file)
		for _, w := range wishes {
			if k.modules[canonical(w)] != "" { // else an alias, or not built
				needs = append(needs, w)
			}
		}
		for _, n := range needs {
			err = errors.Join(err, visit(n))
		}
		files = append(files, file)
		return err
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// load is a program of the guest that loads a spare module. There is no kmod, so
// the kernel finds no module by itself.
const load = `#!/bin/busybox sh
for m in $(cat "/modules/$1.order"); do
	name=${m%.ko}
	[ -e "/sys/module/$(echo "$name" | tr - _)" ] || insmod "/modules/$m" || exit 1
done
`

// modules adds the modules of a guest: those of the file "order" are loaded as
// it boots, those of "NAME.order" by load.
func (a *archive) modules(k *kernel, g Guest) error {
	orders := map[string][]string{"order": g.Modules}
	for _, name := range g.Spare {
		orders[name+".order"] = []string{name}
	}
	for order, names := range orders {
		files, err := k.order(names)
		if err != nil {
			return err
		}
		var text strings.Builder
		for _, file := range files {
			name := filepath.Base(file)
			a.onceAt("/modules/"+name, file)
			text.WriteString(name + "\n")
		}
		a.file("/modules/"+order, 0o644, []byte(text.String()))
	}
	a.file("/usr/bin/load", 0o755, []byte(load))
	return nil
}

// depends reads the names of the modules that a module needs, and of those that
// it would like before it, from its section .modinfo.
func depends(file string) (needs, wishes []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading module %s: %w", file, err)
	}
	defer func() { _ = f.Close() }()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, nil, fmt.Errorf("module %s has no .modinfo", file)
	}
	data, err := section.Data()
	if err != nil {
		return nil, nil, fmt.Errorf("reading module %s: %w", file, err)
	}
	for info := range bytes.SplitSeq(data, []byte{0}) {
		key, value, _ := strings.Cut(string(info), "=")
		switch key {
		case "depends":
			needs = append(needs, strings.Split(value, ",")...)
		case "softdep":
			if pre, ok := strings.CutPrefix(value, "pre: "); ok {
				wishes = append(wishes, strings.Fields(pre)...)
			}
		}
	}
	return needs, wishes, nil
}

// moduleRoot is the directory of go.mod at or above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod at or above the working directory")
		}
	}
	return "", err
}
