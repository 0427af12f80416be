package delta

import (
	"encoding/binary"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

// The parts of a 64-bit ELF file that Ranges reads.
const (
	elfHeader  = 64
	elfProgram = 56
	elfLoad    = 1
	maxAddr    = 1 << 48
)

// Ranges returns where a program is in memory: nothing if it is no little-endian 64-bit ELF file.
func Ranges(file []byte) []delta.Range {
	if len(file) < elfHeader || string(file[:6]) != "\x7fELF\x02\x01" {
		return nil
	}
	le := binary.LittleEndian
	at, size, n := le.Uint64(file[32:]), le.Uint16(file[54:]), le.Uint16(file[56:])
	var out []delta.Range
	for i := range uint64(n) {
		p := at + i*elfProgram
		if size != elfProgram || at > uint64(len(file)) || p+elfProgram > uint64(len(file)) || len(out) == delta.MaxRanges {
			break
		}
		h := file[p:]
		if le.Uint32(h) != elfLoad {
			continue
		}
		off, addr, length := le.Uint64(h[8:]), le.Uint64(h[16:]), le.Uint64(h[32:])
		if off < maxAddr && addr < maxAddr && length < maxAddr {
			out = append(out, delta.Range{Addr: int64(addr), Off: int64(off), Len: int64(length)})
		}
	}
	return out
}
