package crc64iso

// UpdateByWords is Update on a processor that cannot fold.
func UpdateByWords(crc uint64, b []byte) uint64 { return update(crc, b, false) }
