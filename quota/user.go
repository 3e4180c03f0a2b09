package quota

import "fmt"

// Class is how much of a limit is kept for a user.
type Class uint8

// The classes, the least one first.
const (
	Other Class = iota // any user
	Group              // a member of the group that the socket is for
	Root
	classes = iota
)

// String returns the class's name.
func (c Class) String() string {
	switch c {
	case Other:
		return "other"
	case Group:
		return "group"
	case Root:
		return "root"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// User is who pays. What is counted for one user id is one account, whatever
// the class.
type User struct {
	UID   uint32
	Class Class
}
