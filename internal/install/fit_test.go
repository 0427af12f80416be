package install_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestFit repairs a slot of one of two images whose inventory is lost, with what state.json
// says of the choice. What it says wrongly is never taken for the slot's content.
func TestFit(t *testing.T) {
	testenv.NeedRoot(t)
	path, src := writeBundle(t)
	app, base := src.Inventory().Images[0].Ref, src.Inventory().Images[1].Ref
	root, err := slot.Open(filepath.Join(testenv.NeedFS(t, "ext4"), "slots"), slot.Options{NoMount: true})
	if err != nil {
		t.Fatal(err)
	}
	open := func(without ...string) *install.Source {
		s, err := install.Open(t.Context(), path, install.OpenOptions{Without: without})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	remembered := func() {
		t.Helper()
		if got, err := root.Chosen(slot.A); err != nil || !bytes.Equal(got, []byte{1}) {
			t.Fatalf("remembered: %v, %v", got, err)
		}
	}
	if _, err := install.Run(t.Context(), open(base), install.Target{Root: root}, install.Options{NoSeal: true, Now: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	remembered()
	at, state := root.Path(slot.A), filepath.Join(root.Dir(), "state.json")
	if err := os.Remove(filepath.Join(at, "nodeseal", "inventory.json")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		chosen any // nil removes it
		list   *imagelist.List
		other  bool
	}{
		{"remembered", []byte{1}, nil, false},
		{"longer", append([]byte{1}, make([]byte, 64<<10)...), nil, false},
		{"the other image", []byte{2}, nil, true},
		{"both", []byte{3}, nil, true},
		{"more than there are", []byte{0xff, 0xff, 0xff}, nil, true},
		{"none", []byte{0}, nil, true},
		{"empty", "", nil, true},
		{"forgotten", nil, nil, true},
		{"a list", nil, list(t, app), false},
		{"a wrong list", nil, list(t, base), true},
		{"a list of all", nil, list(t, app, base), true},
		{"remembered and a wrong list", []byte{1}, list(t, base), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			setChosen(t, state, test.chosen)
			s := open()
			err := s.Fit(at, test.list)
			if got := errors.As(err, new(*slot.OtherBundleError)); got != test.other || err != nil && !got {
				t.Errorf("Fit: %v", err)
			}
			if !test.other {
				return
			}
			if res, err := install.Repair(t.Context(), s, at, install.Options{}); !errors.As(err, new(*slot.OtherBundleError)) {
				t.Errorf("Repair: %+v, %v", res, err)
			}
		})
	}
	setChosen(t, state, nil)
	s := open()
	if err := s.Fit(at, list(t, app)); err != nil {
		t.Fatal(err)
	}
	res, err := install.Repair(t.Context(), s, at, install.Options{})
	if err != nil || res.Counts.Images != 1 {
		t.Errorf("Repair: %+v, %v", res, err)
	}
	remembered()
}

// setChosen changes what the state file says of the choice of slot a.
func setChosen(t *testing.T, path string, chosen any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]map[string]any
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	switch c := chosen.(type) {
	case nil:
		delete(state["a"], "chosen")
	case []byte:
		state["a"]["chosen"] = base64.StdEncoding.EncodeToString(c)
	default:
		state["a"]["chosen"] = c
	}
	if data, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
