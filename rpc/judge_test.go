package rpc_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/virbr/virbr/rpc/polkit"
)

// judge is an authorizer. Without answer it says yes.
type judge struct {
	answer func(action string, details map[string]string) error

	mu    sync.Mutex
	asked []string
}

func (j *judge) Check(_ context.Context, s polkit.Subject, action string, details map[string]string, interactive bool) error {
	var more []string
	for _, key := range slices.Sorted(maps.Keys(details)) {
		more = append(more, key+"="+details[key])
	}
	j.mu.Lock()
	j.asked = append(j.asked, fmt.Sprintf("uid %d interactive=%t %s %s", s.UID, interactive, action, strings.Join(more, " ")))
	j.mu.Unlock()
	if j.answer == nil {
		return nil
	}
	return j.answer(action, details)
}

func (j *judge) questions() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.asked)
}
