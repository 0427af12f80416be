package slot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/opencontainers/go-digest"
)

// Times are what is remembered about the content of a slot beside the store
// itself, which has no clock.
type Times struct {
	// ID is the digest of the inventory that the times are about: those of
	// another content do not count, but if Damage was found.
	ID     digest.Digest `json:"id"`
	Filled time.Time     `json:"filled"`
	// Boot is the start of the machine (BootID) in which it was filled.
	Boot string `json:"boot,omitempty"`
	// Verified is when the slot was last verified, zero if never; Damage how
	// many places were damaged then.
	Verified time.Time `json:"verified,omitzero"`
	Damage   int       `json:"damage,omitempty"`
	// Chosen says which images of its bundle the slot was filled with, empty if with all: bit
	// i%8 of byte i/8 is that of image i of the bundle's inventory. It tells a repair where to
	// look, and the ID proves it.
	Chosen []byte `json:"chosen,omitempty"`
}

// maxState bounds the state file, in bytes.
const maxState = 1 << 20

func (r *Root) statePath() string { return filepath.Join(r.dir, "state.json") }

// readState never fails on what it reads: a state file that is damaged is as
// good as none.
func (r *Root) readState() (map[Name]Times, error) {
	state := make(map[Name]Times)
	data, err := safefile.ReadFile(r.statePath(), maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, safefile.ErrNotRegular), errors.Is(err, safefile.ErrTooLarge):
	case err != nil:
		return nil, fmt.Errorf("reading state: %w", err)
	case jsonbound.Unmarshal(data, &state) != nil:
		return make(map[Name]Times), nil
	}
	return state, nil
}

// Times returns what is remembered about what s holds, the zero value where
// nothing is.
func (r *Root) Times(s *Slot) (Times, error) {
	state, err := r.readState()
	times := state[s.Name]
	// The damage may be in the inventory.
	if err != nil || s.ID == "" || times.ID != s.ID && times.Damage == 0 {
		return Times{}, err
	}
	return times, nil
}

// Chosen returns Times.Chosen of slot n, also if the slot cannot be read.
func (r *Root) Chosen(n Name) ([]byte, error) {
	state, err := r.readState()
	return state[n].Chosen, err
}

// Verified remembers that what s holds was verified, and how many places were
// damaged. Of a damaged slot the inventory is not believed: what the slot was filled with
// stays known.
func (r *Root) Verified(s *Slot, now time.Time, damage int) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	state, err := r.readState()
	if err != nil {
		return err
	}
	times := state[s.Name]
	if times.ID != s.ID && (damage == 0 || times.ID == "") {
		times = Times{ID: s.ID}
	}
	times.Verified, times.Damage = now.UTC(), damage
	return r.writeTimes(s.Name, times)
}

// writeTimes remembers the times of a slot; the zero value forgets them.
func (r *Root) writeTimes(n Name, times Times) error {
	state, err := r.readState()
	if err != nil {
		return err
	}
	if times.ID != state[n].ID {
		// The slot that was filled last is the newer one, whatever the clock said: that of a
		// node without a battery starts in 1970.
		for other, t := range state {
			if other != n && !times.Filled.After(t.Filled) {
				times.Filled = t.Filled.Add(time.Second)
			}
		}
	}
	state[n] = times
	if times.ID == "" {
		delete(state, n)
	}
	data, err := json.MarshalIndent(state, "", " ")
	if err != nil {
		return fmt.Errorf("encoding state: %w", err)
	}
	if err := atomicfile.WriteBytes(r.statePath(), 0o644, append(data, '\n')); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}

// Older returns the slot that was filled first, nil where not both are there and
// hold something, or it is not known.
func (r *Root) Older() (*Slot, error) {
	var slots [2]*Slot
	var times [2]Times
	for i, n := range Names() {
		if !r.Exists(n) {
			return nil, nil // there is none
		}
		s, err := r.Read(n)
		if err != nil {
			return nil, err
		}
		if s.Store.Empty() {
			return nil, nil // there is none
		}
		if slots[i] = s; s.ID != "" {
			if times[i], err = r.Times(s); err != nil {
				return nil, err
			}
		}
	}
	switch a, b := times[0].Filled, times[1].Filled; {
	case a.IsZero() || b.IsZero() || a.Equal(b):
		return nil, nil // it is not known
	case a.Before(b):
		return slots[0], nil
	default:
		return slots[1], nil
	}
}
