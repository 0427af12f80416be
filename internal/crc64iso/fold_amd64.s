#include "textflag.h"

// func fold(acc *[64]byte, b *byte, blocks int)
//
// Two words of 64 bits times x^512: the first stands for x^64 times more, and what a
// multiplication without carry gives is, with reflected bits, times x once too often.
// So the factors are x^575 and x^511, modulo the polynomial.
TEXT ·fold(SB), NOSPLIT, $0-24
	MOVQ acc+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ blocks+16(FP), CX
	MOVQ $0x01b001b1b0000001, AX
	MOVQ AX, X8
	MOVQ $0xb100010100000001, AX
	MOVQ AX, X9
	PUNPCKLQDQ X9, X8
	MOVOU 0(DI), X0
	MOVOU 16(DI), X1
	MOVOU 32(DI), X2
	MOVOU 48(DI), X3
	TESTQ CX, CX
	JZ    done

loop:
	MOVOA X0, X4
	MOVOA X1, X5
	MOVOA X2, X6
	MOVOA X3, X7
	PCLMULQDQ $0x00, X8, X0
	PCLMULQDQ $0x00, X8, X1
	PCLMULQDQ $0x00, X8, X2
	PCLMULQDQ $0x00, X8, X3
	PCLMULQDQ $0x11, X8, X4
	PCLMULQDQ $0x11, X8, X5
	PCLMULQDQ $0x11, X8, X6
	PCLMULQDQ $0x11, X8, X7
	PXOR X4, X0
	PXOR X5, X1
	PXOR X6, X2
	PXOR X7, X3
	MOVOU 0(SI), X4
	MOVOU 16(SI), X5
	MOVOU 32(SI), X6
	MOVOU 48(SI), X7
	PXOR X4, X0
	PXOR X5, X1
	PXOR X6, X2
	PXOR X7, X3
	ADDQ $64, SI
	DECQ CX
	JNZ  loop

done:
	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
	MOVOU X2, 32(DI)
	MOVOU X3, 48(DI)
	RET
