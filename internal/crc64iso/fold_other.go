//go:build !amd64

package crc64iso

// folds: other processors take words one by one.
func folds() bool { return false }

func fold(*[64]byte, *byte, int) {}
