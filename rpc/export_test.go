package rpc

// Rules is how many rows the table of errors has.
func Rules() int { return len(rules) }

// ParseStartTime is parseStartTime.
func ParseStartTime(stat string) (uint64, error) { return parseStartTime([]byte(stat)) }
