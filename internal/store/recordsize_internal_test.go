package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestCheckLayers holds where a plan has more layers than layers.json has room for.
func TestCheckLayers(t *testing.T) {
	t.Parallel()
	const most = maxRecords / layerBytes
	for _, c := range []struct {
		layers int
		says   string
	}{{0, ""}, {1, ""}, {most, ""}, {most + 1, fmt.Sprintf("%d layers take at least %d bytes, at most %d are read", most+1, maxRecords+layerBytes, maxRecords)}} {
		err := (&Plan{Layers: make([]*Layer, c.layers)}).checkLayers()
		if c.says == "" {
			if err != nil {
				t.Errorf("%d layers: %v", c.layers, err)
			}
			continue
		}
		if !errors.Is(err, ErrPrecondition) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "import them in parts") {
			t.Errorf("%d layers: %v", c.layers, err)
		}
	}
}
