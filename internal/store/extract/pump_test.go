package extract

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"
)

// pieces is a stream that writes itself in pieces, each in the same buffer, as a decoder does,
// and ends with an error, or none.
type pieces struct {
	data []byte
	size int
	err  error
}

func (p *pieces) Read([]byte) (int, error) { panic("it is to write itself") }

func (p *pieces) WriteTo(w io.Writer) (int64, error) {
	buf := make([]byte, p.size)
	var written int64
	for rest := p.data; len(rest) > 0; {
		n := copy(buf, rest)
		rest = rest[n:]
		n, err := w.Write(buf[:n])
		written += int64(n)
		if err != nil {
			return written, err
		}
		clear(buf)
	}
	return written, p.err
}

// only hides all methods of a reader but Read, which it lets return what it likes.
type only struct {
	r   io.Reader
	err error
}

func (o only) Read(b []byte) (int, error) {
	n, err := o.r.Read(b[:min(len(b), 100_000)])
	if errors.Is(err, io.EOF) && o.err != nil {
		err = o.err
	}
	return n, err
}

// The reader of a pump gets the stream, copied or lent, and the digest is the stream's,
// whatever the stream can do.
func TestPump(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	torn := errors.New("torn")
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, readSize, readSize + 7, 2*readSize + chunkSize} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		for _, want := range []error{nil, torn} {
			for name, src := range map[string]io.Reader{
				"small":  &pieces{data: data, size: 10_000, err: want},
				"frames": &pieces{data: data, size: 6 << 20, err: want},
				"only":   only{r: bytes.NewReader(data), err: want},
			} {
				p := new(Extractor).startPump(t.Context(), src, 0)
				got, err := readPump(p, random)
				p.stop()
				if !errors.Is(err, want) || !bytes.Equal(got, data) {
					t.Fatalf("%s, %d bytes: %d bytes, %v, want %v", name, size, len(got), err, want)
				}
				if d, n := p.digest(); want == nil && (d != digest.FromBytes(data) || n != int64(size)) {
					t.Errorf("%s, %d bytes: digest %s of %d bytes", name, size, d, n)
				}
			}
		}
	}
}

// readPump reads to the end, in pieces of all lengths.
func readPump(p *pump, random *rand.Rand) (got []byte, err error) {
	buf := make([]byte, 300_000)
	for {
		p.lend = random.IntN(2) == 0
		clear(buf)
		n, err := p.Read(buf[:1+random.IntN(len(buf))])
		if p.lend {
			got = append(got, p.lent[:n]...)
		} else {
			got = append(got, buf[:n]...)
		}
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

// A pump ends where its reader reads no more, where it is cancelled, and where the stream is
// longer than it may be.
func TestPumpEnds(t *testing.T) {
	data := make([]byte, 10*chunkSize)
	for name, src := range map[string]func() io.Reader{
		"writes itself": func() io.Reader { return &pieces{data: data, size: 6 << 20} },
		"is read":       func() io.Reader { return only{r: bytes.NewReader(data)} },
	} {
		var e Extractor
		p := e.startPump(t.Context(), src(), 0)
		if _, err := p.Read(make([]byte, 10)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.stop()

		ctx, cancel := context.WithCancel(t.Context())
		p = e.startPump(ctx, src(), 0)
		cancel()
		if _, err := readPump(p, rand.New(rand.NewPCG(1, 2))); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
		p.stop()

		p = e.startPump(t.Context(), src(), chunkSize)
		got, err := readPump(p, rand.New(rand.NewPCG(1, 2)))
		if !errors.Is(err, ErrTooLong) || len(got) > chunkSize {
			t.Errorf("%s, too long: %d bytes, %v", name, len(got), err)
		}
		p.stop()
	}
}
