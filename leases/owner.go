package leases

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
)

// users are whom the helper runs as: its own user, which packages make; where there
// is none, the one of dnsmasq, and in the end the one that is nobody's.
func users() []string { return []string{"virbr-leases", "dnsmasq", "nobody"} }

// Owner is the user that the helper runs as.
type Owner struct {
	Name     string
	UID, GID int
}

// keptMode is the mode of a helper's directory that root has kept; see [Keep]. Its
// sticky bit says so, for the next call of the helper.
const keptMode = 0o1755

// Prepare makes the helper's directory where it is missing, and returns its owner,
// who is the helper's user. One that is root's is given to the first of those
// users that there is, unless root is to keep it.
func Prepare(dirs dnsmasq.Dirs) (Owner, error) {
	o, err := prepare(dirs)
	if err != nil {
		return Owner{}, fmt.Errorf("preparing the lease helper's directory %q: %w", dirs.Helper(), err)
	}
	return o, nil
}

func prepare(dirs dnsmasq.Dirs) (Owner, error) {
	if err := os.MkdirAll(dirs.Helper(), 0o755); err != nil {
		return Owner{}, err
	}
	dir, err := open(dirs.Helper(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return Owner{}, err
	}
	defer dir.close()
	var st unix.Stat_t
	if err := unix.Fstat(dir.fd, &st); err != nil {
		return Owner{}, dir.failed("stat", err)
	}
	if st.Uid == 0 && st.Mode&0o7777 == keptMode {
		return Owner{Name: "root"}, nil
	}
	if st.Uid != 0 {
		if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
			return owner(u)
		}
	}
	o, err := choose()
	if err != nil {
		return Owner{}, err
	}
	return o, give(dir, o)
}

// Keep has the helper run as root, as libvirt's does: where no other user gets to
// the directories, which somebody chose.
func Keep(dirs dnsmasq.Dirs) error {
	dir, err := open(dirs.Helper(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.close()
	if err := give(dir, Owner{Name: "root"}); err != nil {
		return err
	}
	return dir.failed("chmod", unix.Fchmod(dir.fd, keptMode))
}

// Give ends what [Keep] began, so that [Prepare] chooses a user. A missing directory
// is nobody's yet.
func Give(dirs dnsmasq.Dirs) error {
	dir, err := open(dirs.Helper(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.close()
	var st unix.Stat_t
	if err := unix.Fstat(dir.fd, &st); err != nil {
		return dir.failed("stat", err)
	}
	if st.Uid != 0 || st.Mode&0o7777 != keptMode {
		return nil
	}
	return dir.failed("chmod", unix.Fchmod(dir.fd, 0o755))
}

// choose returns the first user that there is.
func choose() (Owner, error) {
	var errs []error
	for _, name := range users() {
		u, err := user.Lookup(name)
		if err == nil && u.Uid != "0" {
			return owner(u)
		}
		errs = append(errs, err)
	}
	return Owner{}, fmt.Errorf("looking for a user that is not root: %w", errors.Join(errs...))
}

func owner(u *user.User) (Owner, error) {
	uid, err := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return Owner{u.Username, uid, gid}, errors.Join(err, gidErr)
}

// give makes a directory and the files in it an owner's. Links are not followed.
func give(dir file, o Owner) error {
	list, err := os.ReadDir(dir.path)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := unix.Fchownat(dir.fd, e.Name(), o.UID, o.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "chown", Path: dir.path + "/" + e.Name(), Err: err}
		}
	}
	return dir.failed("chown", unix.Fchown(dir.fd, o.UID, o.GID))
}

// become gives up all that root may, for ever.
func (o Owner) become() error {
	err := syscall.Setgroups(nil)
	if err == nil {
		err = syscall.Setresgid(o.GID, o.GID, o.GID)
	}
	if err == nil {
		err = syscall.Setresuid(o.UID, o.UID, o.UID)
	}
	if err != nil {
		return fmt.Errorf("becoming user %q: %w", o.Name, err)
	}
	return nil
}

// DropRoot has a helper that runs as root go on as its own user. dnsmasq calls it as
// root once, when it starts, as it has no other user yet then; one that an older
// virbrd started does so each time. What only root may do is done
// before: the lease file becomes the helper's.
func (h Helper) DropRoot(args []string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	ev, err := dnsmasq.ParseEvent(args, h.Getenv)
	if err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	o, err := Prepare(h.dirs())
	if err == nil {
		err = adopt(h.dirs(), ev.Interface, o)
	}
	if err == nil {
		err = o.become()
	}
	if err != nil {
		return fmt.Errorf("leases of %q: %w", ev.Interface, err)
	}
	return nil
}
