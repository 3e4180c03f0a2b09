package quota

import "slices"

// Queue holds what waits for a share: of one user the first comes first, users
// of a class take turns, and a better class comes before a lesser one. The zero
// value is empty. It is not safe for use by many goroutines at once.
type Queue[T comparable] struct {
	lines [classes][]*line[T] // the user whose turn it is first
}

type line[T comparable] struct {
	user  User
	items []T
}

// Push adds an item at the end of its user's line.
func (q *Queue[T]) Push(u User, item T) {
	lines := &q.lines[u.Class]
	i := slices.IndexFunc(*lines, func(l *line[T]) bool { return l.user == u })
	if i < 0 {
		i = len(*lines)
		*lines = append(*lines, &line[T]{user: u})
	}
	(*lines)[i].items = append((*lines)[i].items, item)
}

// Pop removes and returns the next item that fits. Only the first one of each
// line is looked at.
func (q *Queue[T]) Pop(fits func(User, T) bool) (User, T, bool) {
	for class := classes - 1; class >= 0; class-- {
		for i, l := range q.lines[class] {
			item := l.items[0]
			if !fits(l.user, item) {
				continue
			}
			l.items = slices.Delete(l.items, 0, 1)
			q.lines[class] = slices.Delete(q.lines[class], i, i+1)
			if len(l.items) > 0 {
				q.lines[class] = append(q.lines[class], l)
			}
			return l.user, item, true
		}
	}
	var none T
	return User{}, none, false
}

// Remove takes an item out that does not wait any more.
func (q *Queue[T]) Remove(u User, item T) {
	lines := &q.lines[u.Class]
	i := slices.IndexFunc(*lines, func(l *line[T]) bool { return l.user == u })
	if i < 0 {
		return
	}
	l := (*lines)[i]
	if at := slices.Index(l.items, item); at >= 0 {
		l.items = slices.Delete(l.items, at, at+1)
	}
	if len(l.items) == 0 {
		*lines = slices.Delete(*lines, i, i+1)
	}
}
