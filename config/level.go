package config

import (
	"fmt"
	"log/slog"
)

// ParseLevel reads the word for a log level: debug, info, warn or error.
func ParseLevel(word string) (slog.Level, error) {
	switch word {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("there is no log level %q; known are debug, info, warn and error", word)
}
