package archive

// Shorten bounds the file of the Spool, in bytes.
func (s *Spool) Shorten(most int64) { s.most = most }
