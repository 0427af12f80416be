package answer

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// settled is for how long what was found in the stores is taken for true: it
// saves most of the looking where requests come in crowds.
const settled = 10 * time.Millisecond

// stores are the directories, and what was last found in them. A slot that was
// exchanged or filled is seen by the requests that come after.
type stores struct {
	dirs    []string
	log     *slog.Logger
	clock   func() time.Time
	reloads atomic.Int64
	// looked is when the stores were last looked at, in nanoseconds.
	looked atomic.Int64

	mu   sync.Mutex // held while stores are read anew
	last atomic.Pointer[snapshot]
}

func newStores(dirs []string, clock func() time.Time, log *slog.Logger) *stores {
	s := &stores{dirs: dirs, clock: clock, log: log}
	s.last.Store(newSnapshot(nil))
	s.look()
	return s
}

// current returns the stores as they are now, or were a moment ago.
func (s *stores) current() *snapshot {
	if s.clock().UnixNano()-s.looked.Load() < int64(settled) {
		return s.last.Load()
	}
	return s.look()
}

// look returns the stores as they are now.
func (s *stores) look() *snapshot {
	now := s.clock().UnixNano()
	if snap := s.last.Load(); s.fresh(snap) {
		s.looked.Store(now)
		return snap
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.last.Load()
	if s.fresh(old) {
		return old // another request has read them
	}
	views := make([]*view, len(s.dirs))
	for i, dir := range s.dirs {
		m := markOf(dir)
		if i < len(old.views) && old.views[i].mark == m {
			views[i] = old.views[i]
			continue
		}
		views[i] = open(dir, m)
		s.reloads.Add(1)
		s.report(views[i])
	}
	snap := newSnapshot(views)
	s.last.Store(snap)
	s.looked.Store(now)
	return snap
}

func (s *stores) fresh(snap *snapshot) bool {
	if len(snap.views) != len(s.dirs) {
		return false
	}
	for _, v := range snap.views {
		if markOf(v.dir) != v.mark {
			return false
		}
	}
	return true
}

func (s *stores) report(v *view) {
	if v.err != nil {
		s.log.Warn("store cannot be read", "store", v.dir, "error", v.err)
		return
	}
	s.log.Info("store read", "store", v.dir, "images", len(v.store.Images), "references", len(v.store.References))
}
