package relaxng

// nameClass is a set of names (RELAX NG specification, section 3).
type nameClass interface{ has(n name) bool }

type exactName name

func (c exactName) has(n name) bool { return name(c) == n }

type anyName struct{ except nameClass } // except may be nil

func (c anyName) has(n name) bool { return c.except == nil || !c.except.has(n) }

type nsName struct {
	space  string
	except nameClass // may be nil
}

func (c nsName) has(n name) bool {
	return n.space == c.space && (c.except == nil || !c.except.has(n))
}

type nameChoice []nameClass

func (c nameChoice) has(n name) bool {
	for _, one := range c {
		if one.has(n) {
			return true
		}
	}
	return false
}

// examples returns the names of a class that can be told; none for wildcards.
func examples(c nameClass) []name {
	switch c := c.(type) {
	case exactName:
		return []name{name(c)}
	case nameChoice:
		var names []name
		for _, one := range c {
			names = append(names, examples(one)...)
		}
		return names
	}
	return nil
}
