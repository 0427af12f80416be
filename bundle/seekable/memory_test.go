package seekable

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"
)

// Whatever is asked for, the frames in the making fit, and some can be.
func TestShare(t *testing.T) {
	t.Parallel()
	for level := 1; level <= MaxLevel; level++ {
		for _, jobs := range []int{1, 2, 3, 8, 64} {
			encoders, contents := share(level, jobs)
			if took := encoders*(window+FrameSize/2+tables(level)) + contents*FrameSize; took > encoderMemory {
				t.Errorf("level %d, %d jobs: %d MiB", level, jobs, took>>20)
			}
			if encoders < min(jobs, 3) || contents < encoders+fewFillers || encoders > jobs {
				t.Errorf("level %d, %d jobs: %d encoders, %d contents", level, jobs, encoders, contents)
			}
		}
	}
}

// Many more writers than there are buffers, all begun before any ends, each with a
// small one beside it that is written to in turn, come to their end; so do
// those that are given up.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	enc, err := NewEncoder(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("nodeseal "), (FrameSize+2<<20)/9)
	var begun, all sync.WaitGroup
	const writers = 30
	begun.Add(writers)
	for i := range writers {
		all.Go(func() {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			w, small := enc.NewWriter(ctx, io.Discard), enc.NewSmallWriter(ctx, io.Discard)
			_, err := w.Write(content[:smallFrame])
			begun.Done()
			begun.Wait()
			errGivenUp := errors.New("given up")
			rest := content[smallFrame:]
			if i%3 == 0 {
				rest = rest[:2<<20]
			}
			_, werr := io.MultiWriter(w, small).Write(rest)
			if i%3 == 0 {
				cancel(errGivenUp)
			}
			frames, cerr := w.Close()
			_, serr := small.Close()
			if i%3 == 0 {
				return // ended is all that is asked for
			}
			if err := errors.Join(err, werr, cerr, serr); err != nil || len(frames) != 2 {
				t.Errorf("%d frames, %v", len(frames), err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
		t.Fatal("writers wait for each other")
	}
	if len(enc.contents) != cap(enc.contents) {
		t.Errorf("%d of %d buffers came back", len(enc.contents), cap(enc.contents))
	}
}
