package rpc

import (
	"sync"
	"time"

	"github.com/virbr/virbr/quota"
)

const (
	// complainEvery is how often a user is complained about at most: who makes
	// trouble on purpose must not fill the log.
	complainEvery = 10 * time.Second
	// maxComplaints is about how many users that is remembered.
	maxComplaints = 1024
)

// nobody stands for what no user is to blame for: the id that no user has.
const nobody = 1<<32 - 1

// complaints are when users were complained about last.
type complaints struct {
	mu    sync.Mutex // guards users
	users map[uint32]*complaint
}

type complaint struct {
	last   time.Time
	unsaid int // complaints since then
}

// due reports whether to complain about a user now, and how many complaints were
// not made before.
func (c *complaints) due(uid uint32, now time.Time) (unsaid int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.users[uid]
	if old != nil && now.Sub(old.last) < complainEvery {
		old.unsaid++
		return 0, false
	}
	if old != nil {
		unsaid = old.unsaid
	}
	if len(c.users) >= maxComplaints || c.users == nil {
		c.users = map[uint32]*complaint{}
	}
	c.users[uid] = &complaint{last: now}
	return unsaid, true
}

// complain warns about what a user's clients do.
func (s *Server) complain(u quota.User, msg string, args ...any) {
	unsaid, ok := s.complaints.due(u.UID, time.Now())
	if !ok {
		return
	}
	if unsaid > 0 {
		args = append(args, "more", unsaid)
	}
	s.log.Warn(msg, append(args, "uid", u.UID)...)
}
