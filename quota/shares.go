package quota

// Shares counts who has how much of one thing. It is not safe for use by many
// goroutines at once: whoever has it has a lock for it.
type Shares struct {
	total int64 // 0: no limit
	used  [classes]int64
	own   map[uint32]int64
}

// NewShares returns the shares of so many pieces; 0 means no limit.
func NewShares(total int64) *Shares {
	return &Shares{total: total, own: map[uint32]int64{}}
}

// Used returns how many pieces are taken.
func (s *Shares) Used() int64 {
	var sum int64
	for _, n := range s.used {
		sum += n
	}
	return sum
}

// Of returns how many pieces a user id has.
func (s *Shares) Of(uid uint32) int64 { return s.own[uid] }

// Fits reports whether a user may have n more pieces.
func (s *Shares) Fits(u User, n int64) bool {
	if s.total == 0 {
		return true
	}
	all, own := s.Used(), s.own[u.UID]
	guests := all - s.used[Root]
	switch u.Class {
	case Root:
		return within(s.total, all, n) || within(s.total/8, own, n)
	case Group:
		return within(s.total/2, own, n) && within(s.total-max(1, s.total/8), guests, n) && within(s.total, all, n)
	case Other:
		return within(s.total/4, own, n) && within(s.total-max(2, s.total/4), s.used[Other], n) &&
			within(s.total-max(1, s.total/8), guests, n) && within(s.total, all, n)
	}
	return false
}

// within reports whether n more fit a limit. The first piece always does:
// otherwise one that is larger than the limit would wait for ever.
func within(limit, used, n int64) bool { return used == 0 || used+n <= limit }

// Take counts n pieces for a user.
func (s *Shares) Take(u User, n int64) {
	s.used[u.Class] += n
	s.own[u.UID] += n
}

// Give returns n pieces.
func (s *Shares) Give(u User, n int64) {
	s.used[u.Class] -= n
	if s.own[u.UID] -= n; s.own[u.UID] == 0 {
		delete(s.own, u.UID)
	}
}
