//go:build deaths && !amd64

package deaths

func changesOld(uint64) bool { return false }
