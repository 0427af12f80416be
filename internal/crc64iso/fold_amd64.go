package crc64iso

import "golang.org/x/sys/cpu"

// folds reports whether fold may be called.
func folds() bool { return cpu.X86.HasPCLMULQDQ }

// fold multiplies acc by x^512 and adds 64 bytes at b, for each of so many blocks of 64
// bytes. What stands in acc then has the sum of all that it read.
//
//go:noescape
func fold(acc *[64]byte, b *byte, blocks int)
