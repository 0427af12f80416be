package delta

import (
	"encoding/binary"
	"io"
)

// section is what a Reader knows of the pieces that make a part of a changed file.
type section struct {
	open      bool // more sections may follow
	ops       []Op
	left      int64 // bytes of its output that no chunk had
	at        int64 // of the new file: where the next chunk begins
	end       int64 // of the last piece of the old file
	addresses addresses
	recent    recent

	symbols, gaps, escapes []byte
	copies                 []copied
}

// copied is a stretch of a chunk that came from the old file.
type copied struct {
	out, len int // in the chunk
	old      int64
}

// begin reads what stands before the sections of a changed file.
func (s *section) begin(d *Reader) (err error) {
	if s.addresses.old, err = d.ranges(s.addresses.old); err != nil {
		return err
	}
	if s.addresses.now, err = d.ranges(s.addresses.now); err != nil {
		return err
	}
	s.open, s.at, s.end, s.recent.n = true, 0, 0, 0
	return nil
}

func (d *Reader) ranges(into []Range) ([]Range, error) {
	n, err := d.number(MaxRanges)
	if err != nil {
		return nil, err
	}
	into = into[:0]
	for range n {
		var v [3]int64
		for i := range v {
			if v[i], err = d.number(1 << 62); err != nil {
				return nil, err
			}
		}
		into = append(into, Range{v[0], v[1], v[2]})
	}
	return into, nil
}

// nextSection reads the pieces of the next section.
func (d *Reader) nextSection() error {
	s := &d.section
	n, err := d.number(MaxOps)
	if err != nil {
		return err
	}
	if s.open = n > 0; !s.open && s.at == 0 {
		return invalid("a part that makes nothing")
	}
	s.ops = s.ops[:0]
	for range n {
		var o Op
		if o.Copy, err = d.number(d.size); err != nil {
			return err
		}
		if o.Literal, err = d.number(d.size); err != nil {
			return err
		}
		distance, err := d.signed()
		if err != nil {
			return err
		}
		if o.Old = s.end + distance; o.Old < 0 || o.Copy > d.ref.Size || o.Old > d.ref.Size-o.Copy {
			return invalid("bytes from %d to %d of an old file of %d", o.Old, o.Old+o.Copy, d.ref.Size)
		}
		s.end = o.Old + o.Copy
		if err := d.some(o.Copy + o.Literal); err != nil {
			return err
		}
		s.left += o.Copy + o.Literal
		s.ops = append(s.ops, o)
	}
	s.addresses.set(s.ops, s.at)
	return nil
}

// nextChunk makes the next bytes of a changed file.
func (d *Reader) nextChunk() error {
	s := &d.section
	n, err := d.number(min(s.left, maxChunk))
	if err != nil {
		return err
	}
	if n == 0 {
		return invalid("an empty chunk")
	}
	if cap(d.chunk) < int(n) {
		d.chunk = make([]byte, n)
	}
	chunk := d.chunk[:n]
	if err := d.fill(chunk); err != nil {
		return err
	}
	if s.symbols, err = d.block(s.symbols, maxGroups); err != nil {
		return err
	}
	if s.gaps, err = d.block(s.gaps, maxGap*len(s.symbols)); err != nil {
		return err
	}
	if s.escapes, err = d.block(s.escapes, 4*len(s.symbols)); err != nil {
		return err
	}
	if err := s.apply(chunk); err != nil {
		return err
	}
	s.left -= n
	s.at += n
	d.out = chunk
	return nil
}

// block reads at most most bytes behind their number.
func (d *Reader) block(into []byte, most int) ([]byte, error) {
	n, err := d.number(int64(most))
	if err != nil {
		return nil, err
	}
	if int64(cap(into)) < n {
		into = make([]byte, n)
	}
	into = into[:n]
	_, err = io.ReadFull(d.in, into)
	return into, err
}

// fill takes the literals of a chunk from the delta, the rest from the old file.
func (d *Reader) fill(chunk []byte) error {
	s := &d.section
	s.copies = s.copies[:0]
	for at := 0; at < len(chunk); {
		if len(s.ops) == 0 {
			return invalid("a chunk behind the last piece")
		}
		o := &s.ops[0]
		if n := int(min(o.Copy, int64(len(chunk)-at))); n > 0 {
			s.copies = append(s.copies, copied{at, n, o.Old})
			o.Old, o.Copy, at = o.Old+int64(n), o.Copy-int64(n), at+n
			continue
		}
		n := int(min(o.Literal, int64(len(chunk)-at)))
		if _, err := io.ReadFull(d.in, chunk[at:at+n]); err != nil {
			return err
		}
		o.Literal, at = o.Literal-int64(n), at+n
		if o.Literal == 0 && o.Copy == 0 {
			s.ops = s.ops[1:]
		}
	}
	for _, c := range s.copies {
		if err := d.readOld(chunk[c.out:c.out+c.len], c.old); err != nil {
			return err
		}
	}
	return nil
}

// apply changes what was copied to what is new.
func (s *section) apply(chunk []byte) error {
	symbols, gaps := s.symbols, s.gaps
	p := place{section: s, chunk: chunk, copies: s.copies}
	for _, symbol := range symbols {
		gap, n := binary.Uvarint(gaps)
		if n <= 0 || gap > maxChunk {
			return invalid("a number between differences")
		}
		gaps = gaps[n:]
		if err := p.skip(int(gap)); err != nil {
			return err
		}
		if err := p.change(symbol); err != nil {
			return err
		}
	}
	if len(gaps) > 0 || len(s.escapes) > 0 {
		return invalid("bytes behind the last difference")
	}
	return nil
}

// place is where the next difference is: at bytes into the first of the copies.
type place struct {
	*section
	chunk  []byte
	copies []copied
	at     int
}

func (p *place) skip(n int) error {
	p.at += n
	for len(p.copies) > 0 && p.at >= p.copies[0].len {
		p.at -= p.copies[0].len
		p.copies = p.copies[1:]
	}
	if len(p.copies) == 0 {
		return invalid("a difference behind the last copy")
	}
	return nil
}

func (p *place) change(symbol byte) error {
	c := p.copies[0]
	bytes := p.chunk[c.out : c.out+c.len]
	if symbol == symByte {
		v, err := p.escape(1)
		if err != nil {
			return err
		}
		bytes[p.at] += v[0]
		p.at++
		return nil
	}
	if symbol >= symRelative && symbol < symByte {
		return p.predict(symbol, c, bytes)
	}
	d, err := p.difference(symbol)
	if err != nil {
		return err
	}
	if p.at+4 > len(bytes) {
		return invalid("a difference beyond a copy")
	}
	binary.LittleEndian.PutUint32(bytes[p.at:], word(bytes[p.at:])+d)
	p.at += 4
	return nil
}

// predict changes a field to the address that it has now.
func (p *place) predict(symbol byte, c copied, bytes []byte) error {
	k := int(symbol-symRelative) & 3
	from := p.at - k
	if from < 0 || from+4 > len(bytes) {
		return invalid("an address beyond a copy")
	}
	w := word(bytes[from:])
	var v uint32
	var ok bool
	if symbol < symAbsolute {
		v, ok = p.addresses.relative(w, c.old+int64(from), p.section.at+int64(c.out+from))
	} else {
		v, ok = p.addresses.absolute(w)
	}
	if !ok {
		return invalid("an address that the old file does not have")
	}
	binary.LittleEndian.PutUint32(bytes[from:], v)
	p.at = from + 4
	return nil
}

// difference returns what is added to a word.
func (p *place) difference(symbol byte) (uint32, error) {
	if symbol < recentWords {
		if int(symbol) >= p.recent.n {
			return 0, invalid("a difference that was not")
		}
		return p.recent.use(int(symbol)), nil
	}
	var d uint32
	switch symbol {
	case symWord8:
		v, err := p.escape(1)
		if err != nil {
			return 0, err
		}
		d = uint32(v[0])
	case symWord16:
		v, err := p.escape(2)
		if err != nil {
			return 0, err
		}
		d = uint32(int32(int16(binary.LittleEndian.Uint16(v))))
	case symWord32:
		v, err := p.escape(4)
		if err != nil {
			return 0, err
		}
		d = word(v)
	default:
		return 0, invalid("a difference of the kind %d", symbol)
	}
	p.recent.add(d)
	return d, nil
}

func (p *place) escape(n int) ([]byte, error) {
	if len(p.escapes) < n {
		return nil, invalid("differences are missing")
	}
	v := p.escapes[:n]
	p.escapes = p.escapes[n:]
	return v, nil
}
