package answer

import (
	"log/slog"
	"sync"
	"sync/atomic"
)

// stores are the directories, and what was last found in them. A slot that was
// exchanged or filled is seen by the next request.
type stores struct {
	dirs    []string
	log     *slog.Logger
	reloads atomic.Int64

	mu  sync.Mutex // held while stores are read anew
	now atomic.Pointer[snapshot]
}

func newStores(dirs []string, log *slog.Logger) *stores {
	s := &stores{dirs: dirs, log: log}
	s.now.Store(newSnapshot(nil))
	s.current()
	return s
}

// current returns the stores as they are now.
func (s *stores) current() *snapshot {
	if snap := s.now.Load(); s.fresh(snap) {
		return snap
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
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
	s.now.Store(snap)
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
