#ifndef EDGENAS_MPS2_H
#define EDGENAS_MPS2_H

void mps2_start(void);
void mps2_receive(void); /* the UART's interrupt */

#endif
