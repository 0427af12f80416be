package hashtable

import (
	"math/rand/v2"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var table Table
	want := make(map[uint64]uint32)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		key, value := random.Uint64()>>random.IntN(3)<<random.IntN(3), random.Uint32()|1
		table.Set(key, value)
		want[key] = value
	}
	if table.Len() != len(want) {
		t.Errorf("%d keys, want %d", table.Len(), len(want))
	}
	for key, value := range want {
		if got := table.Get(key); got != value {
			t.Fatalf("%x: %d, want %d", key, got, value)
		}
	}
	if got := table.Get(random.Uint64()); got != 0 {
		t.Errorf("a key that was not set has %d", got)
	}
}

// Growing counts: what is held at once is at most twice what a table takes.
func TestMemory(t *testing.T) {
	const keys = 1 << 18
	memtest.Hold(t, 2*keys*(Memory+3), func() {
		var table Table
		random := rand.New(rand.NewPCG(1, 2))
		for range keys {
			table.Set(random.Uint64(), 1)
		}
	})
}
