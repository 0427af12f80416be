package seekable

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/klauspost/compress/zstd"
)

// FrameSize is how much content a Writer puts into one frame. It is less than
// MaxFrame so that many layers can be encoded and decoded at once in bounded
// memory; docs/performance.md has what other sizes cost and gain.
const FrameSize = 6 << 20

// Encoder makes the frames of a bundle. One Encoder serves a whole command: it
// bounds how many frames are encoded at the same time, and with them the
// memory, whatever the number of Writers. It is safe for concurrent use.
type Encoder struct {
	zstd *zstd.Encoder
	// slots bounds the frames in flight: a frame holds one from the moment its
	// content is complete until its compressed bytes are written.
	slots chan struct{}
	// contents has the buffers of FrameSize: who waits for one waits for a frame of
	// some Writer to be encoded. Those that were not made yet are nil.
	contents chan []byte
	// outputs holds buffers for the next frames.
	outputs buffers
	name    string
}

// NewEncoder returns an Encoder of the given zstd level, 1 (fastest) to 4
// (best), that encodes jobs frames at the same time, or as many as there is memory
// for: of the best level three. A level or a number of jobs below 1 stands for
// the default: DefaultLevel, one job.
func NewEncoder(level, jobs int) (*Encoder, error) {
	if level < 1 {
		level = DefaultLevel
	}
	if level > MaxLevel {
		return nil, fmt.Errorf("compression level %d: want 1 to %d", level, MaxLevel)
	}
	jobs, contents := share(level, max(jobs, 1))
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.EncoderLevel(level)),
		zstd.WithWindowSize(window),
		zstd.WithLowerEncoderMem(true), // no room for what follows a frame
		zstd.WithEncoderConcurrency(jobs),
		zstd.WithEncoderCRC(true),
		zstd.WithZeroFrames(true),
		zstd.WithSingleSegment(true),
	)
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	e := &Encoder{
		zstd:     enc,
		slots:    make(chan struct{}, jobs+1),
		contents: make(chan []byte, contents),
		outputs:  make(buffers, jobs+1),
		name: fmt.Sprintf("klauspost/compress %s zstd level %d frame %d small %d, compressed layers stored",
			encoderVersion(), level, FrameSize, smallFrame),
	}
	for range contents {
		e.contents <- nil
	}
	return e, nil
}

// Name describes library, version and settings: equal names make equal frames
// of equal content.
func (e *Encoder) Name() string { return e.name }

// encoderVersion is the version of the zstd library that is built in.
func encoderVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/klauspost/compress" {
				return dep.Version
			}
		}
	}
	return "(unknown version)"
}

// Encode appends content to dst as one frame. It is what all frames are made with.
func (e *Encoder) Encode(content, dst []byte) []byte { return e.zstd.EncodeAll(content, dst) }

// buffers keeps as many buffers for reuse as it has room for.
type buffers chan []byte

// get returns an empty buffer, with room for size bytes where it is a new one.
func (b buffers) get(size int) []byte {
	select {
	case buf := <-b:
		return buf[:0]
	default:
		return make([]byte, 0, size)
	}
}

// put takes a buffer back.
func (b buffers) put(buf []byte) {
	select {
	case b <- buf:
	default:
	}
}

// Writer cuts what is written to it into frames, encodes them in parallel
// and writes them in order. It is for one goroutine.
type Writer struct {
	enc     *Encoder
	ctx     context.Context //nolint:containedctx // the writer lives for one call of its user
	out     io.Writer
	most    int // content of a frame
	content []byte
	queue   chan chan []byte
	done    chan error
	frames  []Frame
	sizes   []int64
	written int64
	failed  chan struct{}
}

// NewWriter returns a Writer on out. Close must be called on every
// path. When ctx ends, Write and Close return its cause. Write may wait for
// frames of other Writers of the Encoder to be encoded.
func (e *Encoder) NewWriter(ctx context.Context, out io.Writer) *Writer {
	return e.newWriter(ctx, out, FrameSize)
}

// NewSmallWriter is NewWriter for what is small as a rule: its frames have at most
// 1 MiB of content, and Write does not wait until other Writers are written to. So
// the goroutine that writes to others may depend on it.
func (e *Encoder) NewSmallWriter(ctx context.Context, out io.Writer) *Writer {
	return e.newWriter(ctx, out, smallFrame)
}

func (e *Encoder) newWriter(ctx context.Context, out io.Writer, most int) *Writer {
	w := &Writer{
		enc: e, ctx: ctx, out: out, most: most,
		queue:  make(chan chan []byte, cap(e.slots)),
		done:   make(chan error, 1),
		failed: make(chan struct{}),
	}
	go w.drain()
	return w
}

// Written is the number of bytes of content written so far.
func (w *Writer) Written() int64 { return w.written }

// Write implements io.Writer. It may return the error of an earlier write.
func (w *Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), w.most-len(w.content))
		if err := w.grow(n); err != nil {
			return total - len(p), err
		}
		w.content = append(w.content, p[:n]...)
		w.written += int64(n)
		p = p[n:]
		if len(w.content) == w.most {
			if err := w.submit(); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

// grow makes room for n more bytes. The first frame of a writer begins small: most
// writers are for file tables and small layers.
func (w *Writer) grow(n int) error {
	need := len(w.content) + n
	if need <= cap(w.content) {
		return nil
	}
	var bigger []byte
	if need <= smallFrame && (len(w.sizes) == 0 || w.most == smallFrame) {
		bigger = make([]byte, 0, min(smallFrame, max(2*cap(w.content), need)))
	} else {
		select {
		case bigger = <-w.enc.contents:
		case <-w.failed:
			return io.ErrClosedPipe
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
		if bigger == nil {
			bigger = make([]byte, 0, FrameSize)
		}
	}
	w.content = append(bigger[:0], w.content...)
	return nil
}

// free gives the buffer of a frame's content back.
func (e *Encoder) free(content []byte) {
	if cap(content) == FrameSize {
		e.contents <- content // has room: it came from there
	}
}

// submit hands the content collected so far to an encoding goroutine.
func (w *Writer) submit() error {
	select {
	case w.enc.slots <- struct{}{}:
	case <-w.failed:
		return io.ErrClosedPipe
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	content := w.content
	w.content = nil
	w.sizes = append(w.sizes, int64(len(content)))
	result := make(chan []byte, 1)
	w.queue <- result // has room: it is as long as there are slots
	go func() {
		frame := w.enc.Encode(content, w.enc.outputs.get(len(content)/2+64))
		w.enc.free(content)
		result <- frame
	}()
	return nil
}

// drain writes encoded frames in order until the queue is closed.
func (w *Writer) drain() {
	var err error
	for result := range w.queue {
		data := <-result
		if err == nil {
			if _, err = w.out.Write(data); err != nil {
				close(w.failed)
			}
		}
		w.frames = append(w.frames, Frame{Compressed: int64(len(data))})
		w.enc.outputs.put(data)
		<-w.enc.slots
	}
	w.done <- err
}

// Close encodes what is left, waits for all frames to be written and returns
// their sizes in order. It does not close the underlying writer. A Close after
// a failed Write frees what the writer holds; its result is then no use.
func (w *Writer) Close() ([]Frame, error) {
	var err error
	if len(w.content) > 0 {
		err = w.submit()
	}
	w.enc.free(w.content) // of a frame that was given up
	w.content = nil
	close(w.queue)
	if werr := <-w.done; werr != nil {
		err = fmt.Errorf("writing frames: %w", werr)
	}
	if err != nil {
		return nil, err
	}
	for i := range w.frames {
		w.frames[i].Content = w.sizes[i]
	}
	return w.frames, nil
}
