#include <stdio.h>
#include <unistd.h>

int main(void)
{
    printf("hello from scratch, as user %d\n", (int)getuid());
    return 0;
}
