package compression

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// leastWindow is what a zstd stream has for frames that are not seen yet: what
	// encoders take by default.
	leastWindow = 8 << 20
	// manyWindow is the same where there are many frames, as in zstd:chunked, of which the
	// first ones may be smaller than the window of others.
	manyWindow = 32 << 20
)

// zstdWindow returns the window that the frames ask for which begin in the buffer of in.
// Streams that are damaged are for the decoder to refuse.
func zstdWindow(in *bufio.Reader) (uint64, error) {
	head, err := in.Peek(in.Size())
	whole := errors.Is(err, io.EOF)
	if err != nil && !whole && len(head) == 0 {
		return 0, err
	}
	var window uint64
	frames := 0
	many := false
	for len(head) > 0 {
		many = frames > 0
		var frame zstd.Header
		if frame.Decode(head) != nil {
			whole = false
			break
		}
		if !frame.Skippable {
			frames++
			window = max(window, frame.WindowSize)
			if frame.SingleSegment {
				window = max(window, frame.FrameContentSize)
			}
		}
		n := frameSize(&frame, head)
		if n > len(head) {
			whole = false // if anything follows, it is not seen
			break
		}
		head = head[n:]
	}
	switch {
	case whole:
		return max(window, zstd.MinWindowSize), nil
	case many || frames == 0: // of which what is skipped is the first
		return max(window, manyWindow), nil
	}
	return max(window, leastWindow), nil
}

// frameSize returns the length of the frame that data begins with, or more than data has
// where that is not all of it.
func frameSize(h *zstd.Header, data []byte) int {
	if h.Skippable {
		return h.HeaderSize + int(min(int64(h.SkippableSize), 1<<30))
	}
	n := h.HeaderSize
	for last := false; !last; {
		if n+3 > len(data) {
			return len(data) + 1
		}
		head := uint32(data[n]) | uint32(data[n+1])<<8 | uint32(data[n+2])<<16
		last = head&1 == 1
		n += 3
		if head>>1&3 == 1 { // one byte, repeated
			n++
		} else {
			n += int(head >> 3)
		}
	}
	if h.HasCheckSum {
		n += 4
	}
	return n
}
