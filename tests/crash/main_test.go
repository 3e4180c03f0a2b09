//go:build libvirt_dlopen

package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/faulttest"
)

// binEnv names the directory of the binaries under test. Set it to test
// binaries that are already there; else they are built once.
const binEnv = "VIRBR_CRASH_BIN"

// fullEnv has the tests run in full when it is "full"; `make stress` sets it.
const fullEnv = "VIRBR_STRESS"

// seedEnv chooses the calls of a run that is not in full.
const seedEnv = "VIRBR_CRASH_SEED"

// pointsEnv has a run take all calls from one number to another: "460-480".
const pointsEnv = "VIRBR_CRASH_POINTS"

func TestMain(m *testing.M) {
	faulttest.Launched()
	binaries.Main(m, binEnv, func(dir string) error {
		if err := binaries.Build(dir); err != nil {
			return err
		}
		return binaries.Build(filepath.Join(dir, newer), "-ldflags", "-X main.version=999.0")
	})
}

// newer is where the binaries of a newer version are, below those of the usual one.
const newer = "newer"

// bin returns the path of a binary under test.
func bin(name string) string { return filepath.Join(os.Getenv(binEnv), name) }

// points returns the numbers of the calls, of n, at which something is to happen:
// all of them in full, else some at equal distances.
func points(t *testing.T, n, some int) []int {
	t.Helper()
	if os.Getenv(fullEnv) == "full" {
		some = n
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	stride := max(1, n/max(some, 1))
	var list []int
	if text := os.Getenv(pointsEnv); text != "" {
		var from, to int
		if _, err := fmt.Sscanf(text, "%d-%d", &from, &to); err != nil || from < 1 {
			t.Fatalf("%s=%s: %v", pointsEnv, text, err)
		}
		for at := from; at <= min(to, n); at++ {
			list = append(list, at)
		}
		return list
	}
	for at := 1 + rand.New(rand.NewPCG(seed, 0)).IntN(stride); at <= n; at += stride {
		list = append(list, at)
	}
	t.Logf("%d of %d calls (%s=%d)", len(list), n, seedEnv, seed)
	return list
}
