package dir

import (
	"os"
	"sync"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
)

// syncer syncs finished layers from time to time beside the extraction, so that
// a power cut does not cost all of the work, and the last ones beside what comes after
// it, so that little is left to be written at the end.
type syncer struct {
	im *importer

	mu      sync.Mutex
	pending []*store.Layer // finished, and not being synced
	bytes   int64          // of pending
	running bool
	err     error
	group   sync.WaitGroup
}

// finished says that a layer is extracted and recorded.
func (s *syncer) finished(j *build.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, j.First())
	s.bytes += j.Done.DiffSize
	if s.running || s.bytes < s.im.opts.SyncEvery {
		return
	}
	batch := s.pending
	s.pending, s.bytes, s.running = nil, 0, true
	s.group.Go(func() { s.sync(batch) })
}

// sync syncs the file system and marks the records of layers that were finished
// before.
func (s *syncer) sync(batch []*store.Layer) {
	err := s.im.partial.sync()
	for _, l := range batch {
		if err == nil {
			err = os.Rename(s.im.recordPath(l), s.im.recordPath(l)+syncedSuffix)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	if s.err == nil {
		s.err = err
	}
}

// last begins to sync what is finished and not synced yet.
func (s *syncer) last() {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.pending
	s.pending, s.bytes = nil, 0
	s.group.Go(func() { s.sync(batch) })
}

// wait waits for syncs under way and returns the first error.
func (s *syncer) wait() error {
	s.group.Wait()
	return s.err
}
